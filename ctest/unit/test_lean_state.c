/* A state that serves a plain class has little more than Lua's own libraries. */
#include "unit.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/core.h"

#define OWN_HEAP_MAX (22 * 1024)

static const char plain[] = "local titan = require 'titan'\n"
                            "return titan.process {\n"
                            "  name = 'plain',\n"
                            "  init = function(self) self.count = 0 end,\n"
                            "  methods = {\n"
                            "    add = { public = true, function(self, n)\n"
                            "      self.count = self.count + n\n"
                            "      return self.count\n"
                            "    end },\n"
                            "    helper = function() end,\n"
                            "  },\n"
                            "}\n";

/* In place of what stands in a worker alone: SERVED and ERROR get what it is told. */
static const char start[] =
    "local core, worker, file = require 'titan.core', require 'titan.worker', ...\n"
    "core.worker_serve = function(served) SERVED = served end\n"
    "core.worker_ready = function() end\n"
    "core.worker_failed = function(err) ERROR = err.message end\n"
    "core.use('titan.worker.starting').start { file = file, name = 'plain', class_name = 'plain', "
    "env = {},\n"
    "  options = {}, dependencies = {}, limits = {}, timeout = 5000 }\n";

static const char loaded[] = "local names = {}\n"
                             "for name in pairs(package.loaded) do\n"
                             "  if name:find '^titan' or name == 'luv' then\n"
                             "    names[#names + 1] = name\n"
                             "  end\n"
                             "end\n"
                             "table.sort(names)\n"
                             "return table.concat(names, ' ')\n";

static void run(lua_State *L, const char *code, const char *argument)
{
    assert_int_equal(luaL_loadstring(L, code), LUA_OK);
    lua_pushstring(L, argument);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        print_error("%s\n", lua_tostring(L, -1));
        assert_true(false);
    }
}

static int heap_len(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT);
    lua_gc(L, LUA_GCCOLLECT);
    return lua_gc(L, LUA_GCCOUNT) * 1024 + lua_gc(L, LUA_GCCOUNTB);
}

static void test_heap(void **state)
{
    char path[] = "/tmp/titan-lean-XXXXXX";
    int fd = mkstemp(path);
    lua_State *L = luaL_newstate();
    int before;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, plain, strlen(plain)), (int)strlen(plain));
    close(fd);
    luaL_openlibs(L);
    before = heap_len(L);
    core_preload(L);
    run(L, start, path);
    unlink(path);
    lua_settop(L, 0);
    lua_getglobal(L, "ERROR");
    assert_null(lua_tostring(L, -1));
    run(L, "local s = SERVED return s.methods[1](s.self, 5)", "");
    assert_int_equal(lua_tointeger(L, -1), 5);
    run(L, loaded, "");
    assert_string_equal(lua_tostring(L, -1),
                        "titan titan.class titan.core titan.errors titan.worker");
    lua_settop(L, 0);
    assert_in_range(heap_len(L) - before, 1, OWN_HEAP_MAX);
    lua_close(L);
}

static void test_first_error(void **state)
{
    lua_State *L = luaL_newstate();

    (void)state;
    luaL_openlibs(L);
    core_preload(L);
    run(L,
        "local function deep(n) return 1 + deep(n + 1) end\n"
        "local packed = require 'titan.worker'.packed\n"
        "local ok, err = xpcall(deep, packed, 1)\n"
        "assert(not ok and err.code == 'remote_error', tostring(err))\n"
        "assert(err.message:find 'stack overflow', err.message)\n"
        "ok, err = xpcall(error, packed, 'again')\n"
        "assert(not ok and err.message == 'again')\n"
        "assert(package.loaded['titan.remote_error'])\n",
        "");
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_first_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
