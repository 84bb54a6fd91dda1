#include "unit.h"

#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "script/value.h"

#define PATIENCE_S 30

static const struct wire_limits limits = {.frame = 1 << 20, .nesting = 64, .outstanding = 1};

/* same(a, b): equal in every table, with integers, floats, -0.0 and NaN kept apart. */
static const char same_lua[] =
    "local function same(a, b)\n"
    "  if type(a) ~= 'table' or type(b) ~= 'table' then\n"
    "    if a ~= a then return b ~= b end\n"
    "    return a == b and math.type(a) == math.type(b) and (a ~= 0 or 1 / a == 1 / b)\n"
    "  end\n"
    "  for k, v in next, a do if not same(v, rawget(b, k)) then return false end end\n"
    "  for k in next, b do if rawget(a, k) == nil then return false end end\n"
    "  return true\n"
    "end\n"
    "return same";

static int set_up(void **state)
{
    lua_State *L = luaL_newstate();

    alarm(PATIENCE_S);
    luaL_openlibs(L);
    *state = L;
    if (luaL_dostring(L, same_lua) != LUA_OK) {
        return -1;
    }
    lua_setglobal(L, "same");
    return 0;
}

static int tear_down(void **state)
{
    lua_close(*state);
    alarm(0);
    return 0;
}

/* Pushes what the Lua text returns; how many values that is. */
static int push(lua_State *L, const char *text)
{
    int top = lua_gettop(L);

    if (luaL_dostring(L, text) != LUA_OK) {
        print_error("%s\n", lua_tostring(L, -1));
        abort();
    }
    return lua_gettop(L) - top;
}

static struct span span_of_buf(const struct buf *b)
{
    return (struct span){buf_front(b), buf_len(b)};
}

/* ---- what arrives as it was ---- */

static void assert_travels(lua_State *L, const char *text)
{
    struct buf b = {0};
    struct failure why = {0};

    push(L, text);
    lua_getglobal(L, "same");
    lua_insert(L, -2);
    if (value_encode(L, -1, &limits, &b, &why) < 0 ||
        value_decode(L, span_of_buf(&b), limits.nesting, &why) < 0) {
        print_error("%s: %s\n", text, why.message);
    }
    assert_int_equal(why.code, TITAN_OK);
    lua_call(L, 2, 1);
    if (!lua_toboolean(L, -1)) {
        print_error("%s did not arrive as it was\n", text);
    }
    assert_true(lua_toboolean(L, -1));
    lua_settop(L, 0);
    buf_free(&b);
}

static void plain_values_arrive_as_they_were(void **state)
{
    static const char *const texts[] = {
        "return nil",
        "return true",
        "return false",
        "return 0",
        "return -1",
        "return math.maxinteger",
        "return math.mininteger",
        "return ''",
        "return 'text'",
        "return 'bytes \\0 \\xff \\xc0 \\n'",
        "return ('x'):rep(100000)",
    };

    for (size_t i = 0; i < count_of(texts); i++) {
        assert_travels(*state, texts[i]);
    }
}

static void integers_and_floats_are_kept_apart(void **state)
{
    static const char *const texts[] = {
        "return 1",   "return 1.0",   "return 2^53",   "return 2^63",     "return -2^63",
        "return 0.1", "return 1e308", "return 5e-324", "return 0.0",      "return -0.0",
        "return 1/0", "return -1/0",  "return 0/0",    "return {1, 1.0}", "return {0.0, -0.0, 0/0}",
    };

    for (size_t i = 0; i < count_of(texts); i++) {
        assert_travels(*state, texts[i]);
    }
}

static void tables_arrive_as_they_were(void **state)
{
    static const char *const texts[] = {
        "return {}",
        "return {1, 2, 3}",
        "return {{}, {{}}, {{{}}}}",
        "return {a = 1, b = {c = 2, [true] = 3, [false] = 4}}",
        "return {1, 2, x = 3}",
        "return {[0] = 0, 1, 2}",
        "return {[-1] = 'a', [math.maxinteger] = 'b', [math.mininteger] = 'c'}",
        "return {[1.5] = 'a', [1/0] = 'b', [-1/0] = 'c', [2^53] = 'd'}",
        "return {['1'] = 'text', [1] = 'number'}",
        "return {[''] = {[''] = ''}}",
        "return {[5] = 5, [100] = 100}",
        "local t = {} for i = 1, 5000 do t[i] = {i, tostring(i)} end return t",
        "local t = {} for i = 1, 5000 do t['k' .. i] = i * 0.5 end return t",
    };

    for (size_t i = 0; i < count_of(texts); i++) {
        assert_travels(*state, texts[i]);
    }
}

static void holes_stay_holes_and_an_explicit_n_stays(void **state)
{
    static const char *const texts[] = {
        "return {1, nil, 3}",
        "return {nil, nil, 3}",
        "return {1, nil, 3, [0] = 0}",
        "return {1, nil, 3, [100] = 100}",
        "return {1, nil, 3, ['2'] = 'text'}",
        "return {1, nil, 3, [true] = true}",
        "return table.pack(1, nil, 3, nil)",
        "return table.pack()",
        "return {n = 3}",
        "local t = {1, 2, 3, 4} t[2] = nil return t",
        "local t = {} for i = 1, 100 do t[i] = i end for i = 51, 100 do t[i] = nil end return t",
    };

    for (size_t i = 0; i < count_of(texts); i++) {
        assert_travels(*state, texts[i]);
    }
}

static void values_nest_to_the_limit(void **state)
{
    assert_travels(*state, "local t = {} for _ = 2, 64 do t = {t} end return t");
    assert_travels(*state, "local t = {} for _ = 2, 64 do t = {k = t} end return t");
}

static void a_table_that_is_referred_to_twice_arrives_twice(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};

    push(L, "local t = {1} return {t, t}");
    assert_int_equal(value_encode(L, -1, &limits, &b, NULL), TITAN_OK);
    assert_int_equal(buf_len(&b), 5);
    assert_memory_equal(buf_front(&b), "\x92\x91\x01\x91\x01", 5);
    buf_free(&b);
}

static void metatables_stay_behind_and_are_not_asked(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};

    push(L, "local function never() error 'asked' end\n"
            "return setmetatable({1, 2}, {__index = never, __len = never, __pairs = never})");
    assert_int_equal(value_encode(L, -1, &limits, &b, NULL), TITAN_OK);
    assert_memory_equal(buf_front(&b), "\x92\x01\x02", 3);
    assert_int_equal(value_decode(L, span_of_buf(&b), limits.nesting, NULL), TITAN_OK);
    assert_false(lua_getmetatable(L, -1));
    buf_free(&b);
}

/* ---- lists ---- */

static void a_list_arrives_with_all_its_values(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};
    int count = push(L, "return nil, 1, {2}, nil");

    assert_int_equal(value_encode_list(L, 1, count, "argument", &limits, &b, NULL), TITAN_OK);
    lua_settop(L, 0);
    assert_int_equal(value_decode_list(L, span_of_buf(&b), limits.nesting, NULL), 4);
    assert_int_equal(lua_gettop(L), 4);
    assert_true(lua_isnil(L, 1));
    assert_int_equal(lua_tointeger(L, 2), 1);
    assert_true(lua_istable(L, 3));
    assert_true(lua_isnil(L, 4));
    buf_free(&b);
}

static void an_empty_list_arrives_as_no_values(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};

    assert_int_equal(value_encode_list(L, 1, 0, "argument", &limits, &b, NULL), TITAN_OK);
    assert_int_equal(value_decode_list(L, span_of_buf(&b), limits.nesting, NULL), 0);
    assert_int_equal(lua_gettop(L), 0);
    buf_free(&b);
}

static void the_values_of_a_list_nest_to_the_limit(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};
    struct failure why;

    push(L, "local t = {} for _ = 2, 64 do t = {t} end return t");
    assert_int_equal(value_encode_list(L, 1, 1, "argument", &limits, &b, &why), TITAN_OK);
    assert_int_equal(value_decode_list(L, span_of_buf(&b), limits.nesting, &why), 1);
    assert_int_equal(value_decode_list(L, span_of_buf(&b), limits.nesting - 1, &why), -1);
    assert_string_equal(why.message, "nested too deeply");
    buf_free(&b);
}

static void a_list_longer_than_lua_can_take_is_refused(void **state)
{
    enum { COUNT = 2000000 };
    lua_State *L = *state;
    struct buf b = {0};
    struct failure why;

    assert_true(buf_append(&b, "\xdd\x00\x1e\x84\x80", 5));
    memset(buf_room(&b, COUNT), 0xc0, COUNT);
    buf_wrote(&b, COUNT);
    assert_int_equal(value_decode_list(L, span_of_buf(&b), limits.nesting, &why), -1);
    assert_int_equal(why.code, TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(why.message, "more values than a function can take");
    assert_int_equal(lua_gettop(L), 0);
    buf_free(&b);
}

static void every_table_is_a_new_one_in_its_own_right(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};

    push(L, "return {}");
    assert_int_equal(value_encode(L, 1, &limits, &b, NULL), TITAN_OK);
    assert_int_equal(value_decode(L, span_of_buf(&b), limits.nesting, NULL), TITAN_OK);
    assert_false(lua_rawequal(L, 1, 2));
    buf_free(&b);
}

/* ---- what cannot travel ---- */

static void assert_refused(lua_State *L, const char *text, const char *message)
{
    struct buf b = {0};
    struct failure why;
    int count = push(L, text);

    assert_int_equal(value_encode_list(L, 1, count, "argument", &limits, &b, &why),
                     TITAN_E_VALIDATION_FAILED);
    assert_int_equal(why.code, TITAN_E_VALIDATION_FAILED);
    assert_string_equal(why.message, message);
    assert_int_equal(lua_gettop(L), count);
    lua_settop(L, 0);
    buf_free(&b);
}

#define CANNOT_TRAVEL                                                                              \
    " cannot travel: only nil, booleans, numbers, strings, buffers and tables of these can"

static void what_cannot_travel_is_named_with_the_path_to_it(void **state)
{
    assert_refused(*state, "return 1, print", "argument 2: a function" CANNOT_TRAVEL);
    assert_refused(*state, "return {}, {opts = {1, 2, {cb = print}}}",
                   "argument 2.opts[3].cb: a function" CANNOT_TRAVEL);
    assert_refused(*state, "return io.stdout", "argument 1: a userdata" CANNOT_TRAVEL);
    assert_refused(*state, "return {coroutine.create(print)}",
                   "argument 1[1]: a thread" CANNOT_TRAVEL);
    assert_refused(*state, "return {[true] = {[1.5] = {[-7] = print}}}",
                   "argument 1[boolean][1.5][-7]: a function" CANNOT_TRAVEL);
}

static void a_table_as_a_key_cannot_travel(void **state)
{
    assert_refused(*state, "return {a = {[{}] = 1}}",
                   "argument 1.a[table]: a table as a key cannot travel");
    assert_refused(*state, "return {[print] = 1}",
                   "argument 1[function]: a function as a key cannot travel");
}

static void a_single_value_is_called_value(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};
    struct failure why;

    push(L, "return {print}");
    assert_int_equal(value_encode(L, -1, &limits, &b, &why), TITAN_E_VALIDATION_FAILED);
    assert_string_equal(why.message, "value[1]: a function" CANNOT_TRAVEL);
    assert_int_equal(value_encode(L, -1, &limits, &b, NULL), TITAN_E_VALIDATION_FAILED);
    assert_int_equal(lua_gettop(L), 1);
    buf_free(&b);
}

static void cycles_are_refused_with_the_path_to_where_they_close(void **state)
{
    static const char cycle[] = ": a table that contains itself: cycles cannot travel";
    char message[128];

    snprintf(message, sizeof message, "argument 1.me%s", cycle);
    assert_refused(*state, "local t = {} t.me = t return t", message);
    snprintf(message, sizeof message, "argument 2.a[1].b%s", cycle);
    assert_refused(*state, "local t = {} t.a = {{b = t}} return 1, t", message);
    snprintf(message, sizeof message, "argument 1[1][1]%s", cycle);
    assert_refused(*state, "local t = {} t[1] = t return {t}", message);
}

static void too_deep_nesting_is_refused_and_is_no_cycle(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};
    struct failure why;

    push(L, "local t = {} for _ = 2, 65 do t = {t} end return t");
    assert_int_equal(value_encode(L, -1, &limits, &b, &why), TITAN_E_VALIDATION_FAILED);
    assert_non_null(strstr(why.message, ": tables nested more than 64 deep (limits.nesting)"));
    buf_free(&b);
}

#define KEY_40 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

static void a_path_that_is_too_long_keeps_its_end(void **state)
{
    assert_refused(*state,
                   "local t = {last = print}\n"
                   "for _ = 1, 6 do t = {[('k'):rep(40)] = t} end return {t}",
                   "argument 1...." KEY_40 "." KEY_40 "." KEY_40 ".last: a function" CANNOT_TRAVEL);
}

static void keys_that_are_too_long_are_cut_in_the_path(void **state)
{
    assert_refused(*state, "return {[('k'):rep(100)] = print}",
                   "argument 1." KEY_40 "kkkkkkkk: a function" CANNOT_TRAVEL);
}

/* ---- how much ---- */

static void assert_too_large(lua_State *L, const char *text, uint32_t frame, const char *message)
{
    struct wire_limits small = {.frame = frame, .nesting = 64, .outstanding = 1};
    struct buf b = {0};
    struct failure why;
    int count = push(L, text);

    assert_true(buf_append(&b, "what was there", 14));
    assert_int_equal(value_encode_list(L, 1, count, "argument", &small, &b, &why),
                     TITAN_E_LIMIT_EXCEEDED);
    assert_string_equal(why.message, message);
    assert_true(buf_len(&b) < 3 * (size_t)frame);
    lua_settop(L, 0);
    buf_free(&b);
}

static void a_string_or_a_table_larger_than_a_frame_is_refused_before_it_is_written(void **state)
{
    assert_too_large(*state, "return 1, ('x'):rep(1001)", 1000,
                     "argument 2: a string of 1001 bytes, a message may have 1000 (limits.frame)");
    assert_too_large(*state, "local t = {} for i = 1, 1001 do t[i] = i end return {t}", 1000,
                     "argument 1[1]: a table of 1001 entries (limits.frame)");
}

/* Each table holds the next one twice: 2^40 of the last. */
static void tables_that_share_tables_are_refused_when_a_frame_is_full(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};
    struct failure why;

    push(L, "local t = {} for _ = 1, 40 do t = {t, t} end return t");
    assert_int_equal(value_encode(L, -1, &limits, &b, &why), TITAN_E_LIMIT_EXCEEDED);
    assert_non_null(strstr(why.message, ": up to here the message is larger than a frame may be "
                                        "(limits.frame = 1048576 bytes)"));
    assert_true(buf_len(&b) < 2 * (size_t)limits.frame);
    buf_free(&b);
}

static void strings_that_are_referred_to_often_are_refused_when_a_frame_is_full(void **state)
{
    assert_too_large(
        *state, "local s, t = ('x'):rep(900), {} for i = 1, 500 do t[i] = s end return t", 1000,
        "argument 1[3]: up to here the message is larger than a frame may be "
        "(limits.frame = 1000 bytes)");
}

static void what_the_buffer_holds_already_does_not_count(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};

    assert_non_null(buf_room(&b, 2 * (size_t)limits.frame));
    buf_wrote(&b, 2 * (size_t)limits.frame);
    push(L, "return {'text'}");
    assert_int_equal(value_encode(L, -1, &limits, &b, NULL), TITAN_OK);
    buf_free(&b);
}

/* To begin each as an array and to start anew as a map would take 2^60 steps. */
static void deep_tables_with_an_array_part_and_a_key_take_linear_time_and_size(void **state)
{
    static const char *const texts[] = {
        "local t = {} for _ = 1, 60 do t = {t, k = 1} end return t",
        "local t = {} for _ = 1, 60 do t = {1, t, k = 1} end return t",
        "local t = {} for _ = 1, 60 do t = {1, k = t} end return t",
        "local t = {} for _ = 1, 60 do t = {t, nil, 3} end return t",
    };
    lua_State *L = *state;

    for (size_t i = 0; i < count_of(texts); i++) {
        struct buf b = {0};

        push(L, texts[i]);
        assert_int_equal(value_encode(L, -1, &limits, &b, NULL), TITAN_OK);
        assert_true(buf_len(&b) <= 1 + 60 * 8);
        buf_free(&b);
        assert_travels(L, texts[i]);
    }
}

/* ---- what is malformed ---- */

static void assert_malformed(lua_State *L, const void *bytes, size_t len, const char *message)
{
    struct failure why = {0};
    uint8_t *copy = malloc(len + 1);

    memcpy(copy + 1, bytes, len);
    assert_int_equal(value_decode(L, (struct span){copy + 1, len}, 4, &why), -1);
    free(copy);
    assert_int_equal(why.code, TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(why.message, message);
    assert_int_equal(lua_gettop(L), 0);
}

static void keys_that_no_table_has_are_malformed(void **state)
{
    static const char text[] = "a map with a key that is nil, not a number, an array or a map";

    assert_malformed(*state, "\x81\xc0\x01", 3, text);
    assert_malformed(*state, "\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x01", 11, text);
    assert_malformed(*state, "\x81\xca\x7f\xc0\x00\x00\x01", 7, text);
    assert_malformed(*state, "\x81\x90\x01", 3, text);
    assert_malformed(*state, "\x91\x81\x80\x01", 4, text);
}

static void extensions_are_refused(void **state)
{
    static const char text[] = "an extension type that this version does not know";

    assert_malformed(*state, "\xd4\x03\x02", 3, text);
    assert_malformed(*state, "\x92\x01\xc7\x00\x05", 5, text);
}

static void bytes_after_the_end_are_malformed(void **state)
{
    lua_State *L = *state;
    struct failure why;

    assert_malformed(L, "\x01\x02", 2, "bytes after the end of the value");
    assert_int_equal(value_decode_list(L, span_of("\x91\x01\x02"), 4, &why), -1);
    assert_string_equal(why.message, "bytes after the end of the values");
    assert_int_equal(lua_gettop(L), 0);
}

static void too_deep_nesting_is_malformed(void **state)
{
    lua_State *L = *state;

    assert_malformed(L, "\x91\x91\x91\x91\x91\xc0", 6, "nested too deeply");
    assert_malformed(L, "\x81\x01\x81\x01\x81\x01\x81\x01\x80", 9, "nested too deeply");
    assert_int_equal(value_decode(L, span_of("\x91\x91\x91\x91\x07"), 4, NULL), TITAN_OK);
}

static void a_list_that_is_no_array_is_malformed(void **state)
{
    lua_State *L = *state;
    struct failure why;

    assert_int_equal(value_decode_list(L, span_of("\x07"), 4, &why), -1);
    assert_string_equal(why.message, "something other than an array of values");
    assert_int_equal(value_decode_list(L, span_of("\x81\x01\x02"), 4, &why), -1);
    assert_int_equal(value_decode_list(L, span_of(""), 4, &why), -1);
    assert_string_equal(why.message, "truncated value");
    assert_int_equal(lua_gettop(L), 0);
}

static void a_value_cut_at_any_byte_is_malformed_and_leaves_nothing_behind(void **state)
{
    lua_State *L = *state;
    struct buf b = {0};

    push(L, "return {1, 'two', {three = 3.0, [4] = {false, true}}, ('x'):rep(40), -70000}");
    assert_int_equal(value_encode(L, -1, &limits, &b, NULL), TITAN_OK);
    lua_settop(L, 0);
    for (size_t len = 0; len < buf_len(&b); len++) {
        assert_malformed(L, buf_front(&b), len, "truncated value");
    }
    buf_free(&b);
}

/* A table is made as large as is claimed only up to a point. */
static void a_claim_of_many_entries_takes_little_memory_before_they_come(void **state)
{
    enum { CLAIM = 1 << 24 };
    lua_State *L = *state;
    struct buf b = {0};
    int before;

    assert_true(buf_append(&b, "\xdd\x01\x00\x00\x00", 5));
    memset(buf_room(&b, CLAIM), 0xc1, CLAIM);
    buf_wrote(&b, CLAIM);
    lua_gc(L, LUA_GCCOLLECT);
    lua_gc(L, LUA_GCSTOP);
    before = lua_gc(L, LUA_GCCOUNT);
    assert_int_equal(value_decode(L, span_of_buf(&b), 4, NULL), -1);
    assert_true(lua_gc(L, LUA_GCCOUNT) - before < 1024);
    buf_free(&b);
}

/* ---- what others send ---- */

static void holes_that_others_send_as_nil_are_counted_by_n(void **state)
{
    lua_State *L = *state;

    assert_int_equal(value_decode(L, span_of("\x93\x01\xc0\xc0"), 4, NULL), TITAN_OK);
    lua_getglobal(L, "same");
    lua_insert(L, 1);
    push(L, "return {1, n = 3}");
    lua_call(L, 2, 1);
    assert_true(lua_toboolean(L, -1));
}

static void integers_that_lua_has_not_become_floats(void **state)
{
    lua_State *L = *state;

    assert_int_equal(value_decode(L, span_of("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), 4, NULL),
                     TITAN_OK);
    assert_false(lua_isinteger(L, -1));
    assert_true(lua_tonumber(L, -1) == 18446744073709551616.0);
}

static void whole_floats_as_keys_are_the_integers_they_are_in_lua(void **state)
{
    lua_State *L = *state;
    const uint8_t bytes[] = {0x81, 0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x07};

    assert_int_equal(value_decode(L, (struct span){bytes, sizeof bytes}, 4, NULL), TITAN_OK);
    assert_int_equal(lua_rawgeti(L, -1, 1), LUA_TNUMBER);
}

#define value_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        value_test(plain_values_arrive_as_they_were),
        value_test(integers_and_floats_are_kept_apart),
        value_test(tables_arrive_as_they_were),
        value_test(holes_stay_holes_and_an_explicit_n_stays),
        value_test(values_nest_to_the_limit),
        value_test(a_table_that_is_referred_to_twice_arrives_twice),
        value_test(metatables_stay_behind_and_are_not_asked),
        value_test(a_list_arrives_with_all_its_values),
        value_test(an_empty_list_arrives_as_no_values),
        value_test(the_values_of_a_list_nest_to_the_limit),
        value_test(a_list_longer_than_lua_can_take_is_refused),
        value_test(every_table_is_a_new_one_in_its_own_right),
        value_test(what_cannot_travel_is_named_with_the_path_to_it),
        value_test(a_table_as_a_key_cannot_travel),
        value_test(a_single_value_is_called_value),
        value_test(cycles_are_refused_with_the_path_to_where_they_close),
        value_test(too_deep_nesting_is_refused_and_is_no_cycle),
        value_test(a_path_that_is_too_long_keeps_its_end),
        value_test(keys_that_are_too_long_are_cut_in_the_path),
        value_test(a_string_or_a_table_larger_than_a_frame_is_refused_before_it_is_written),
        value_test(tables_that_share_tables_are_refused_when_a_frame_is_full),
        value_test(strings_that_are_referred_to_often_are_refused_when_a_frame_is_full),
        value_test(what_the_buffer_holds_already_does_not_count),
        value_test(deep_tables_with_an_array_part_and_a_key_take_linear_time_and_size),
        value_test(keys_that_no_table_has_are_malformed),
        value_test(extensions_are_refused),
        value_test(bytes_after_the_end_are_malformed),
        value_test(too_deep_nesting_is_malformed),
        value_test(a_list_that_is_no_array_is_malformed),
        value_test(a_value_cut_at_any_byte_is_malformed_and_leaves_nothing_behind),
        value_test(a_claim_of_many_entries_takes_little_memory_before_they_come),
        value_test(holes_that_others_send_as_nil_are_counted_by_n),
        value_test(integers_that_lua_has_not_become_floats),
        value_test(whole_floats_as_keys_are_the_integers_they_are_in_lua),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
