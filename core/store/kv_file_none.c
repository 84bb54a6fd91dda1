/* In the place of kv_file.c when Titan is built without SQLite: no file ever opens. */
#include "store/kv_file.h"

int kv_file_open(struct kv_file **file, const char *path, const struct kv_options *options,
                 const atomic_bool *give_up, struct failure *why)
{
    (void)options;
    (void)give_up;
    *file = NULL;
    return fail(why, TITAN_E_INVALID_CONFIG,
                "the store %s: this Titan is built without SQLite; build it with "
                "-DTITAN_WITH_SQLITE=ON, or use another store",
                path);
}

void kv_file_close(struct kv_file *file)
{
    (void)file;
}

static int not_there(struct failure *why)
{
    return fail(why, TITAN_E_INVALID_CONFIG, "this Titan is built without SQLite");
}

int kv_file_begin(struct kv_file *file, struct failure *why)
{
    (void)file;
    return not_there(why);
}

int kv_file_commit(struct kv_file *file, struct failure *why)
{
    (void)file;
    return not_there(why);
}

void kv_file_rollback(struct kv_file *file)
{
    (void)file;
}

int kv_file_get(struct kv_file *file, struct span key, struct span *value, struct failure *why)
{
    (void)file;
    (void)key;
    *value = (struct span){NULL, 0};
    return not_there(why);
}

int kv_file_put(struct kv_file *file, enum kv_mode mode, struct span key, struct span value,
                uint64_t ttl_ms, struct span *kept, struct failure *why)
{
    (void)file;
    (void)mode;
    (void)key;
    (void)value;
    (void)ttl_ms;
    *kept = (struct span){NULL, 0};
    return not_there(why);
}

int kv_file_remove(struct kv_file *file, struct span key, bool *found, struct failure *why)
{
    (void)file;
    (void)key;
    *found = false;
    return not_there(why);
}

int kv_file_sweep(struct kv_file *file, unsigned max, unsigned *removed, struct failure *why)
{
    (void)file;
    (void)max;
    *removed = 0;
    return not_there(why);
}
