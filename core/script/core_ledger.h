/* The ledgers behind the stores of a manager: Lua has them as userdata, and what workers ask of
 * them finds them by their space. */
#ifndef TITAN_SCRIPT_CORE_LEDGER_H
#define TITAN_SCRIPT_CORE_LEDGER_H

#include "script/core_manager.h"
#include "store/ledger.h"

/* The open ledger of a space, or NULL. */
struct ledger *core_ledger_find(const struct script_manager *sm, struct span space);

/* ms, of the clock that the times in ledgers are of. */
double core_ledger_now_ms(const struct script_manager *sm);

/* The manager is gone: its ledgers live on, for Lua alone. */
void core_ledgers_part(struct script_manager *sm);

void core_add_ledger(struct core_names *names);

#endif
