#include "manager/own_request.h"

#include "manager/process.h"

void own_request_begin(struct own_request *r, struct process *from, uint32_t id,
                       void (*unwanted)(struct own_request *r))
{
    r->from = from;
    r->id = id;
    r->unwanted = unwanted;
    list_push(&from->asked, &r->link);
}

struct peer *own_request_end(struct own_request *r)
{
    struct process *from = r->from;

    list_remove(&r->link);
    r->from = NULL;
    return from ? &from->data : NULL;
}

/* The other side waits for the last word even of what it has cancelled. */
void own_request_cancel(struct process *from, uint32_t id)
{
    for (struct list *l = from->asked.next; l != &from->asked; l = l->next) {
        struct own_request *r = list_entry(l, struct own_request, link);

        if (r->id == id) {
            r->unwanted(r);
            return;
        }
    }
}

void own_requests_drop(struct process *from)
{
    while (!list_empty(&from->asked)) {
        struct own_request *r = list_entry(from->asked.next, struct own_request, link);

        (void)own_request_end(r);
        r->unwanted(r);
    }
}
