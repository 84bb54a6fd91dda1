#include "unit.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "script/core.h"
#include "script/task.h"

#define PATIENCE_S 60

/* A state and a second thread, which wants the same of it again and again. */
struct pressed {
    lua_State *L;
    struct runtime *rt;
    pthread_t runs, presses;
    _Atomic bool ends;
    unsigned reasons; /* 0: nobody presses */
    uv_idle_t turn;
    unsigned turns; /* that began with what was preempted */
};

static void *press(void *arg)
{
    struct pressed *p = arg;
    const struct timespec pause = {.tv_nsec = 500000};

    while (!atomic_load(&p->ends)) {
        interrupt_request(p->rt, p->reasons);
        pthread_kill(p->runs, SIGURG);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* burn(): a little work that gives way nowhere by itself. It allocates, since the thread sanitizer
 * delivers a signal only at such a call. */
static const char prelude[] = "titan = require 'titan'\n"
                              "function burn() for i = 1, 100 do local _ = {} end end\n"
                              "function forever() while true do burn() end end\n";

static int set_up(void **state)
{
    struct pressed *p = calloc(1, sizeof *p);

    alarm(PATIENCE_S);
    p->L = luaL_newstate();
    luaL_openlibs(p->L);
    lua_getglobal(p->L, "coroutine"); /* Lua's own, to compare with */
    lua_newtable(p->L);
    lua_pushnil(p->L);
    while (lua_next(p->L, -3) != 0) {
        lua_pushvalue(p->L, -2);
        lua_insert(p->L, -2);
        lua_settable(p->L, -4);
    }
    lua_setglobal(p->L, "original");
    lua_pop(p->L, 1);
    coroutines_open(p->L);
    core_preload(p->L);
    p->rt = runtime_of(p->L);
    p->runs = pthread_self();
    *state = p;
    assert_int_equal(interrupt_install(), 0);
    interrupt_enter(p->rt);
    return luaL_dostring(p->L, prelude);
}

static int tear_down(void **state)
{
    struct pressed *p = *state;

    interrupt_leave(p->rt);
    lua_close(p->L);
    free(p);
    alarm(0);
    return 0;
}

/* The state has a loop; as one that is run by turns it goes on first with what was preempted. */
static void begin_turn(uv_idle_t *turn)
{
    struct pressed *p = turn->data;

    if (p->rt->reactor.paused) {
        p->turns++;
        tasks_go_on(p->rt);
    }
}

static void turns_begin(struct pressed *p)
{
    assert_int_equal(uv_idle_init(p->rt->uv, &p->turn), 0);
    p->turn.data = p;
    uv_idle_start(&p->turn, begin_turn);
}

static void turns_end(struct pressed *p)
{
    uv_close((uv_handle_t *)&p->turn, NULL);
    uv_run(p->rt->uv, UV_RUN_NOWAIT);
}

/* Runs the text, as a task of titan.run or by itself, under pressure; its first result as text. */
static const char *result_of(struct pressed *p, unsigned reasons, bool in_task, const char *text)
{
    int status;

    if (in_task) {
        lua_getglobal(p->L, "titan");
        lua_getfield(p->L, -1, "run");
        lua_remove(p->L, -2);
    }
    assert_int_equal(luaL_loadstring(p->L, text), LUA_OK);
    p->reasons = reasons;
    turns_begin(p);
    if (reasons != 0) {
        assert_int_equal(pthread_create(&p->presses, NULL, press, p), 0);
    }
    status = lua_pcall(p->L, in_task ? 1 : 0, 1, 0);
    if (reasons != 0) {
        atomic_store(&p->ends, true);
        pthread_join(p->presses, NULL);
    }
    turns_end(p);
    interrupt_cancel(p->rt, reasons);
    if (status != LUA_OK) {
        lua_pushliteral(p->L, "raised: ");
        lua_insert(p->L, -2);
        luaL_tolstring(p->L, -1, NULL);
        lua_remove(p->L, -2);
        lua_concat(p->L, 2);
    }
    return luaL_tolstring(p->L, -1, NULL);
}

#define sliced(p, text) result_of(p, INTERRUPT_SLICE, true, text)

/* ---- slices ---- */

/* Each has more than a slice to do. */
static void what_is_preempted_is_not_overtaken(void **state)
{
    struct pressed *p = *state;

    assert_string_equal(sliced(p, "local order, slept = {}, 0\n"
                                  "local function work(name)\n"
                                  "  return function()\n"
                                  "    for i = 1, 3000 do burn() end\n"
                                  "    order[#order + 1] = name\n"
                                  "    titan.sleep(0)\n"
                                  "    for i = 1, 3000 do burn() end\n"
                                  "    order[#order + 1] = name\n"
                                  "  end\n"
                                  "end\n"
                                  "titan.go(function() titan.sleep(1) slept = #order end)\n"
                                  "local a, b = titan.go(work 'a'), titan.go(work 'b')\n"
                                  "for i = 1, 3000 do burn() end\n"
                                  "order[#order + 1] = 'c'\n"
                                  "titan.all {a, b}\n"
                                  "assert(slept >= 3, slept)\n"
                                  "return table.concat(order)"),
                        "abcab");
    assert_true(p->turns > 0);
}

/* Generators in generators. */
static void coroutines_do_not_notice(void **state)
{
    assert_string_equal(
        sliced(*state,
               "local function count(n)\n"
               "  local co = coroutine.create(function(first)\n"
               "    assert(first == 'first')\n"
               "    for i = 1, n do burn() assert(coroutine.yield(i, -i) == 'more') end\n"
               "    return 'end'\n"
               "  end)\n"
               "  return coroutine.wrap(function()\n"
               "    local say = 'first'\n"
               "    while true do\n"
               "      local ok, i, minus = coroutine.resume(co, say)\n"
               "      assert(ok, i)\n"
               "      assert(coroutine.status(co) == (i == 'end' and 'dead' or 'suspended'))\n"
               "      if i == 'end' then return 'end' end\n"
               "      assert(minus == -i)\n"
               "      say = 'more'\n"
               "      coroutine.yield(i)\n"
               "    end\n"
               "  end)\n"
               "end\n"
               "local sum = 0\n"
               "for _ = 1, 300 do\n"
               "  for i in count(10) do\n"
               "    if i == 'end' then break end\n"
               "    sum = sum + i\n"
               "  end\n"
               "end\n"
               "return sum % 55"),
        "0");
}

static void errors_come_through(void **state)
{
    assert_string_equal(
        sliced(*state, "local seen = {}\n"
                       "for _ = 1, 500 do\n"
                       "  local ok, err = pcall(coroutine.wrap(function()\n"
                       "    local _ <close> = setmetatable({}, {__close = function() burn() end})\n"
                       "    for i = 1, 5 do burn() end\n"
                       "    error({'mine'})\n"
                       "  end))\n"
                       "  seen[tostring(ok) .. err[1]] = true\n"
                       "end\n"
                       "return next(seen)"),
        "falsemine");
}

static void what_cannot_yield_goes_on(void **state)
{
    assert_string_equal(
        sliced(*state,
               "local n = 0\n"
               "for i = 1, 20 do\n"
               "  table.sort({3, 2, 1, 5, 4}, function(a, b) burn() n = n + 1 return a < b end)\n"
               "  local text = ('xyz'):gsub('.', function(c)\n"
               "    return coroutine.wrap(function() burn() return c:upper() end)()\n"
               "  end)\n"
               "  assert(text == 'XYZ')\n"
               "end\n"
               "return n > 0"),
        "true");
}

static void the_end_of_its_time_reaches_one_that_was_made_to_yield(void **state)
{
    assert_string_equal(sliced(*state, "local codes = {}\n"
                                       "for i, fn in ipairs {forever, coroutine.wrap(forever),\n"
                                       "    function() table.sort({1, 2}, forever) end} do\n"
                                       "  local ok, err = pcall(titan.timeout, 5, fn)\n"
                                       "  codes[i] = err.code\n"
                                       "  titan.sleep(1)\n"
                                       "end\n"
                                       "return table.concat(codes, ' ')"),
                        "timeout timeout timeout");
}

/* ---- deadlines ---- */

static void only_what_is_late_is_interrupted(void **state)
{
    assert_string_equal(result_of(*state, INTERRUPT_DEADLINE, true,
                                  "for i = 1, 1000 do burn() end\n"
                                  "local ok, err = pcall(titan.timeout, 3, function()\n"
                                  "  pcall(coroutine.wrap(forever))\n"
                                  "  forever()\n"
                                  "end)\n"
                                  "for i = 1, 1000 do burn() end\n"
                                  "return tostring(ok) .. ' ' .. err.code"),
                        "false timeout");
}

/* ---- the end of a state ---- */

static void nothing_outlives_the_end(void **state)
{
    assert_string_equal(
        result_of(*state, INTERRUPT_DIE, false,
                  "while true do\n"
                  "  pcall(function()\n"
                  "    local co = coroutine.wrap(function() while true do pcall(forever) end end)\n"
                  "    while true do pcall(co) pcall(pcall, forever) end\n"
                  "  end)\n"
                  "end"),
        "raised: titan: interrupted: this state is being ended");
}

/* ---- without anything ---- */

/* Everything that the two libraries say, and how they say it. */
static void the_library_is_luas_own(void **state)
{
    static const char text[] =
        "local function say(...)\n"
        "  local all = table.pack(...)\n"
        "  for i = 1, all.n do\n"
        "    local s = tostring(all[i])\n"
        "    all[i] = s:gsub('0x%x+', ''):gsub(\"'coroutine%.%a+'\", \"'?'\")\n"
        "  end\n"
        "  return table.concat(all, ' ', 1, all.n)\n"
        "end\n"
        "local cases = {\n"
        "  function(lib) return lib.resume(lib.create(function(...) return ... end), 1, nil) end,\n"
        "  function(lib) return lib.resume(lib.create(error), 'broken') end,\n"
        "  function(lib) return lib.resume(lib.create(error), {}) end,\n"
        "  function(lib) return pcall(lib.wrap(error), 'broken') end,\n"
        "  function(lib) return pcall(lib.wrap(function() error 'broken' end)) end,\n"
        "  function(lib) return pcall(lib.wrap(function() error {} end)) end,\n"
        "  function(lib) return pcall(lib.resume) end,\n"
        "  function(lib) return pcall(lib.resume, 1) end,\n"
        "  function(lib) return pcall(lib.wrap, 1) end,\n"
        "  function(lib) return pcall(lib.status, {}) end,\n"
        "  function(lib) return pcall(lib.close, {}) end,\n"
        "  function(lib) return lib.resume(lib.running()) end,\n"
        "  function(lib) return lib.status(lib.running()) end,\n"
        "  function(lib) return pcall(lib.close, lib.running()) end,\n"
        "  function(lib)\n"
        "    local co = lib.create(function() return 1 end)\n"
        "    local a = lib.status(co)\n"
        "    lib.resume(co)\n"
        "    return a, lib.status(co), lib.resume(co)\n"
        "  end,\n"
        "  function(lib)\n"
        "    local f = lib.wrap(function() return 1 end)\n"
        "    return f(), pcall(f)\n"
        "  end,\n"
        "  function(lib)\n"
        "    local co\n"
        "    co = lib.create(function() return lib.resume(lib.create(function()\n"
        "      return lib.status(co), pcall(lib.close, co)\n"
        "    end)) end)\n"
        "    return lib.resume(co)\n"
        "  end,\n"
        "  function(lib)\n"
        "    local co = lib.create(function()\n"
        "      local _ <close> = setmetatable({}, {__close = function(_, e) error('again', 0) "
        "end})\n"
        "      lib.yield(1)\n"
        "    end)\n"
        "    return say(lib.resume(co)), lib.close(co)\n"
        "  end,\n"
        "  function(lib)\n"
        "    return pcall(lib.wrap(function()\n"
        "      local _ <close> = setmetatable({}, {__close = function(_, e) error(e .. '!', 0) "
        "end})\n"
        "      error 'first'\n"
        "    end))\n"
        "  end,\n"
        "  function(lib)\n"
        "    local co = lib.create(function() lib.yield() end)\n"
        "    lib.resume(co)\n"
        "    return lib.close(co), lib.status(co), lib.close(co)\n"
        "  end,\n"
        "  function(lib)\n"
        "    local function deep(n) return lib.wrap(function() return deep(n + 1) end)() end\n"
        "    local ok, err = pcall(deep, 1)\n"
        "    return ok, tostring(err):match 'C stack overflow'\n"
        "  end,\n"
        "  function(lib) return lib.resume(lib.create(function() return lib.isyieldable() end)) "
        "end,\n"
        "  function(lib)\n"
        "    local co = lib.create(function(...) return select('#', ...) end)\n"
        "    return lib.resume(co, table.unpack({}, 1, 200000))\n"
        "  end,\n"
        "  function(lib) return select('#', lib.wrap(function() return table.unpack({}, 1, 200000) "
        "end)()) end,\n"
        "}\n"
        "for i, case in ipairs(cases) do\n"
        "  local theirs, ours = say(case(original)), say(case(coroutine))\n"
        "  if theirs ~= ours then return i .. ': ' .. theirs .. ' | ' .. ours end\n"
        "end\n"
        "return 'the same'";

    assert_string_equal(result_of(*state, 0, false, text), "the same");
}

static void a_signal_alone_does_nothing(void **state)
{
    struct pressed *p = *state;

    raise(SIGURG);
    assert_ptr_equal(lua_gethook(p->L), NULL);
    assert_ptr_equal(p->rt->interrupt.current, p->L);
    interrupt_leave(p->rt);
    interrupt_request(p->rt, INTERRUPT_DIE);
    raise(SIGURG);
    assert_ptr_equal(lua_gethook(p->L), NULL);
    interrupt_cancel(p->rt, INTERRUPT_DIE);
    interrupt_enter(p->rt);
}

#define pressed_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pressed_test(what_is_preempted_is_not_overtaken),
        pressed_test(coroutines_do_not_notice),
        pressed_test(errors_come_through),
        pressed_test(what_cannot_yield_goes_on),
        pressed_test(the_end_of_its_time_reaches_one_that_was_made_to_yield),
        pressed_test(only_what_is_late_is_interrupted),
        pressed_test(nothing_outlives_the_end),
        pressed_test(the_library_is_luas_own),
        pressed_test(a_signal_alone_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
