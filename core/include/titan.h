/*
 * titan.h - the one public header of libtitan.
 *
 * Titan starts workers written in Lua as processes, calls them as if they were local, and tells the
 * story when one dies. This version (0.1) offers to a C program what the command `titan` itself is
 * made of: running a script, being the helper process that workers are forked from, and opening the
 * Lua module in a lua_State of the program's own. No function here keeps global state.
 *
 * Every int result below zero is one of enum titan_error.
 */
#ifndef TITAN_H
#define TITAN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TITAN_VERSION_MAJOR 0
#define TITAN_VERSION_MINOR 1
#define TITAN_VERSION_PATCH 0
#define TITAN_VERSION "0.1.0"

#if defined(__GNUC__)
#define TITAN_API __attribute__((visibility("default")))
#else
#define TITAN_API
#endif

/* The codes that errors carry. In Lua the same codes are the names titan_error_name() returns. */
enum titan_error {
    TITAN_OK = 0,
    TITAN_E_INVALID_CONFIG = -1,
    TITAN_E_SPAWN_FAILED = -2,
    TITAN_E_STARTUP_TIMEOUT = -3,
    TITAN_E_METHOD_NOT_FOUND = -4,
    TITAN_E_NOT_PUBLIC = -5,
    TITAN_E_VALIDATION_FAILED = -6,
    TITAN_E_TIMEOUT = -7,
    TITAN_E_CANCELLED = -8,
    TITAN_E_WORKER_LOST = -9,
    TITAN_E_OVERLOADED = -10,
    TITAN_E_RATE_LIMITED = -11,
    TITAN_E_CIRCUIT_OPEN = -12,
    TITAN_E_LIMIT_EXCEEDED = -13,
    TITAN_E_REMOTE_ERROR = -14,
    TITAN_E_PROTOCOL_ERROR = -15,
    TITAN_E_UNAUTHORIZED = -16,
    TITAN_E_SHUTTING_DOWN = -17,
    TITAN_E_DESTROYED = -18
};

/* The version of the library that is loaded, "major.minor.patch". Static memory. Any thread. */
TITAN_API const char *titan_version(void);

/* The name of a code as errors in Lua carry it ("worker_lost"); "unknown" for any other number.
 * Static memory. Any thread. */
TITAN_API const char *titan_error_name(int code);

/* A sentence for people: what the code means and what to do. Static memory. Any thread. */
TITAN_API const char *titan_strerror(int code);

/*
 * Runs a Lua script as `titan run` does: as a coroutine on a loop of its own, with `require
 * "titan"` ready and modules found beside the script first. argv[0] is the script's path,
 * argv[1..argc-1] are its arguments (`...` and the global `arg`). Returns when the script, its
 * tasks and its workers have ended; workers that are left when the script returns are stopped
 * gracefully.
 *
 * Returns the exit code that a command should end with: 0, or 1 after an uncaught error, which has
 * been printed with its traceback to stderr. Call it from the main thread: workers are killed by
 * the kernel when the thread that runs the script ends.
 */
TITAN_API int titan_run_script(int argc, char **argv);

/*
 * The main() of the helper process that workers are forked from. The command `titan-zygote` is this
 * and nothing else; a program that ships its own helper (with native modules linked in, say) calls
 * it first thing in main() and names that program in the environment variable TITAN_ZYGOTE. Returns
 * the exit code. It refuses to run when it was not started by libtitan.
 */
TITAN_API int titan_zygote_main(int argc, char **argv);

/*
 * The nearest of `count` candidates to a mistyped word, or NULL when none is near enough to
 * suggest. Optimal string alignment distance, the cut-off grows with the word's length. The result
 * is one of the candidates. Any thread.
 */
TITAN_API const char *titan_suggest(const char *word, const char *const *candidates, size_t count);

/* The Lua module: `require "titan"` in any Lua 5.4. Its argument is a lua_State. */
struct lua_State;
TITAN_API int luaopen_titan(struct lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
