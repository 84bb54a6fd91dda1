#include "unit.h"

#include <lauxlib.h>
#include <lualib.h>

#include "script/chunks.h"
#include "script/state.h"

/* What a program does, errors and finalizers among it. */
static const char script[] =
    "local kept = {}\n"
    "for i = 1, 200 do\n"
    "  local t = setmetatable({ i, tostring(i), ('x'):rep(i * 3) }, { __gc = function() end })\n"
    "  kept[i % 50] = t\n"
    "end\n"
    "local co = coroutine.wrap(function(...) for i = 1, 20 do coroutine.yield(i .. '') end end)\n"
    "for i = 1, 10 do co(i) end\n"
    "table.sort(kept, function(a, b) return a[1] < b[1] end)\n"
    "local s = table.concat({ ('y'):rep(5000), ('z'):rep(9000) })\n"
    "local f = load('local a <close> = setmetatable({}, { __close = function() end }) return "
    "#...')\n"
    "return pcall(f, s) and #s\n";

static int open_libs(lua_State *L)
{
    luaL_openlibs(L);
    return 0;
}

struct fixture {
    struct state_memory *memory;
    lua_State *L;
};

static struct fixture open_state_of(struct chunks *chunks)
{
    struct fixture f;

    f.L = state_new(&f.memory, chunks);
    assert_non_null(f.L);
    lua_pushcfunction(f.L, open_libs);
    assert_int_equal(lua_pcall(f.L, 0, 0, 0), LUA_OK);
    lua_gc(f.L, LUA_GCCOLLECT);
    return f;
}

static struct fixture open_state(void)
{
    return open_state_of(NULL);
}

static int run(lua_State *L, const char *text)
{
    int status = luaL_loadstring(L, text);

    return status == LUA_OK ? lua_pcall(L, 0, 1, 0) : status;
}

static size_t counted(lua_State *L)
{
    return (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
}

static void the_bytes_in_use_are_those_that_lua_counts(void **state)
{
    struct fixture f = open_state();

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run(f.L, script), LUA_OK);
        lua_settop(f.L, 0);
        assert_int_equal(state_used(f.memory), counted(f.L));
    }
    state_close(f.L, f.memory);
}

static void a_limit_makes_a_memory_error_that_says_of_what(void **state)
{
    struct fixture f = open_state();
    struct failure why;

    (void)state;
    assert_false(state_describe_refusal(f.memory, &why));
    state_limit(f.memory, (size_t)1 << 20);
    (void)state_bite(f.memory, true);
    assert_int_equal(run(f.L, "local t = {} while true do t[#t + 1] = {} end"), LUA_ERRMEM);
    assert_true(state_used(f.memory) <= ((size_t)1 << 20) / 8 * 9);
    assert_true(state_describe_refusal(f.memory, &why));
    assert_int_equal(why.code, TITAN_E_LIMIT_EXCEEDED);
    assert_non_null(strstr(why.message, "of 1 MB are in use"));
    assert_true(state_take_pressure(f.memory));
    assert_false(state_take_pressure(f.memory));
    lua_settop(f.L, 0);
    assert_int_equal(run(f.L, "return pcall(string.rep, 'x', 1 << 24)"), LUA_OK);
    assert_false(lua_toboolean(f.L, -1));
    assert_int_equal(run(f.L, "return #string.rep('x', 1000)"), LUA_OK);
    state_close(f.L, f.memory);
}

static void it_bites_only_when_told(void **state)
{
    struct fixture f = open_state();

    (void)state;
    state_limit(f.memory, state_used(f.memory));
    assert_int_equal(run(f.L, script), LUA_OK);
    assert_false(state_bite(f.memory, true));
    assert_int_not_equal(run(f.L, script), LUA_OK);
    assert_true(state_bite(f.memory, false));
    assert_int_equal(run(f.L, script), LUA_OK);
    (void)state_bite(f.memory, true);
    state_limit(f.memory, 0);
    assert_int_equal(run(f.L, script), LUA_OK);
    state_close(f.L, f.memory);
}

/* Under every limit from nothing at all to enough, in steps that small at the beginning that each
 * of the first allocations is the one that fails. */
static void an_allocation_may_fail_anywhere(void **state)
{
    size_t over = 0;
    unsigned failed = 0;
    int status;

    (void)state;
    do {
        struct fixture f = open_state();

        state_limit(f.memory, state_used(f.memory) + over);
        (void)state_bite(f.memory, true);
        status = run(f.L, script);
        failed += status != LUA_OK;
        (void)state_bite(f.memory, false);
        lua_settop(f.L, 0);
        assert_int_equal(run(f.L, script), LUA_OK); /* nothing is broken */
        state_close(f.L, f.memory);
        over += over < 4096 ? 16 : over / 16;
    } while (status != LUA_OK);
    assert_true(failed > 256);
}

static void the_states_of_two_threads_do_not_count_for_each_other(void **state)
{
    struct fixture a = open_state();
    struct fixture b = open_state();
    size_t used = state_used(b.memory);

    (void)state;
    assert_ptr_equal(state_memory_of(a.L), a.memory);
    assert_int_equal(run(a.L, script), LUA_OK);
    assert_int_equal(state_used(b.memory), used);
    state_close(a.L, a.memory);
    state_close(b.L, b.memory);
}

/* string.rep has a buffer that does not wait for a collection. */
static void garbage_is_no_reason_to_fail(void **state)
{
    struct fixture f = open_state();

    (void)state;
    state_limit(f.memory, (size_t)1 << 20);
    (void)state_bite(f.memory, true);
    lua_gc(f.L, LUA_GCSTOP);
    assert_int_equal(run(f.L, "for i = 1, 1000 do local s = string.rep('x', 50000) .. i end"),
                     LUA_OK);
    state_close(f.L, f.memory);
}

static void a_hosts_own_state_has_none(void **state)
{
    lua_State *L = luaL_newstate();

    (void)state;
    assert_null(state_memory_of(L));
    lua_close(L);
}

/* Runs it so that its code is dropped at once. */
static void run_briefly(const struct fixture *f, const char *text)
{
    int status;

    assert_int_equal(state_make(f->memory, STATE_BRIEF), STATE_LASTING);
    status = luaL_loadstring(f->L, text);
    (void)state_make(f->memory, STATE_LASTING);
    assert_int_equal(status, LUA_OK);
    assert_int_equal(lua_pcall(f->L, 0, 0, 0), LUA_OK);
    lua_gc(f->L, LUA_GCCOLLECT);
}

static void what_was_brief_is_given_back_at_rest(void **state)
{
    struct chunks *chunks = chunks_new();
    struct fixture f = open_state_of(chunks);
    unsigned rested;

    (void)state;
    run_briefly(&f, script);
    run_briefly(&f, "kept = 'a string may be held by others'");
    assert_int_equal(chunks_kept(chunks), 0);
    state_rest(f.memory);
    rested = chunks_kept(chunks);
    assert_int_equal(run(f.L, "return kept == 'a string may be held by ' .. 'others'"), LUA_OK);
    assert_true(lua_toboolean(f.L, -1));
    run_briefly(&f, script); /* from now on like all others */
    assert_int_equal(state_used(f.memory), counted(f.L));
    assert_int_equal(chunks_kept(chunks), rested);
    state_close(f.L, f.memory);
    /* Under a sanitizer every block is malloc's. */
    assert_int_equal(rested, chunks_kept(chunks) > 0 ? 1 : 0);
    chunks_free(chunks);
}

static void what_is_not_dropped_stays(void **state)
{
    struct chunks *chunks = chunks_new();
    struct fixture f = open_state_of(chunks);

    (void)state;
    run_briefly(&f, "function kept(n) return n + 1 end");
    state_rest(f.memory);
    assert_int_equal(chunks_kept(chunks), 0);
    assert_int_equal(run(f.L, "return kept(1)"), LUA_OK);
    assert_int_equal(lua_tointeger(f.L, -1), 2);
    state_close(f.L, f.memory);
    chunks_free(chunks);
}

/* Blocks are split then: none may overlap another. */
static void a_start_breaks_nothing(void **state)
{
    static const char shrinks[] = "local all = {}\n"
                                  "for i = 1, 300 do all[i] = ('x' .. i):rep(i) end\n"
                                  "for i = 1, 300, 2 do all[i] = nil end\n"
                                  "collectgarbage()\n"
                                  "for i = 1, 300, 2 do all[i] = { i, i .. '', { i } } end\n"
                                  "for i = 1, 300, 2 do\n"
                                  "  assert(all[i][1] == i and all[i][2] == i .. '')\n"
                                  "  assert(all[i][3][1] == i)\n"
                                  "end\n";
    struct chunks *chunks = chunks_new();

    (void)state;
    for (int i = 0; i < 3; i++) { /* of what the one before left */
        struct fixture f = open_state_of(chunks);

        for (int j = 0; j < 5; j++) {
            assert_int_equal(run(f.L, script), LUA_OK);
            assert_int_equal(run(f.L, shrinks), LUA_OK);
            lua_settop(f.L, 0);
            assert_int_equal(state_used(f.memory), counted(f.L));
        }
        state_rest(f.memory);
        assert_int_equal(run(f.L, script), LUA_OK);
        state_close(f.L, f.memory);
    }
    chunks_free(chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_in_use_are_those_that_lua_counts),
        cmocka_unit_test(a_limit_makes_a_memory_error_that_says_of_what),
        cmocka_unit_test(it_bites_only_when_told),
        cmocka_unit_test(an_allocation_may_fail_anywhere),
        cmocka_unit_test(the_states_of_two_threads_do_not_count_for_each_other),
        cmocka_unit_test(garbage_is_no_reason_to_fail),
        cmocka_unit_test(a_hosts_own_state_has_none),
        cmocka_unit_test(what_was_brief_is_given_back_at_rest),
        cmocka_unit_test(what_is_not_dropped_stays),
        cmocka_unit_test(a_start_breaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
