local config = require "titan.config"
local errors = require "titan.errors"
local text = require "titan.text"

---@return titan.Error
local function refusal(check, given)
  local ok, err = pcall(check, given)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  assert.equal("invalid_config", err.code)
  return err
end

-- { resources = { timeout = 5 } } from "resources.timeout" and 5.
local function nested(path, value)
  for key in path:reverse():gmatch("[^.]+") do
    value = { [key:reverse()] = value }
  end
  return value
end

local function at(tree, path)
  for key in path:gmatch("[^.]+") do
    tree = tree[key]
  end
  return tree
end

local NOT_BUILT = " not built in this version (titan " .. text.version .. ") yet"
local MILLISECONDS = '(milliseconds, or a string such as "30s")'
local BYTES = '(bytes, or a string such as "64KB")'
local NAME = 'a name of 1 to 64 letters, digits, "_", "." or "-"'
local VARIABLE = 'bad key: expected the name of an environment variable, without "=" and NUL'

local defaults = {
  isolation = "process", transport = "unix", host = "127.0.0.1", preload = {},
  restart_policy = {
    enabled = true, max_restarts = 3, window = 60000, delay = 1000,
    backoff = { type = "exponential", initial = 1000, max = 30000, factor = 2, jitter = 0.1 },
  },
  resources = { max_memory = 536870912, max_cpu = 1.0, timeout = 30000 },
  monitoring = {
    health_check = {
      enabled = true, interval = 30000, timeout = 5000, failures = 3, restart_hung = true,
    },
    metrics = true, tracing = false,
  },
  testing = { use_mock_spawner = false },
  advanced = {
    graceful_shutdown_timeout = 5000, liveness_sweep_interval = 30000, interrupt_grace = 1000,
    spare_worker = true, spin_us = 0, handle_signals = true,
  },
  logs = { format = "auto" },
  limits = { frame = 67108864, nesting = 64, outstanding = 65536 },
  store = { kind = "memory", path = "titan.db", busy_timeout = 5000 },
}

describe("config.check", function()
  it("is all defaults for nothing and for an empty table", function()
    assert.same(defaults, config.check())
    assert.same(defaults, config.check {})
    assert.equal("integer", math.type(config.check().resources.max_memory))
    assert.equal("integer", math.type(config.check().resources.timeout))
  end)

  it("accepts its own result", function()
    assert.same(defaults, config.check(config.check()))
  end)

  it("accepts the table of the reference as it is written there", function()
    assert.same(defaults, config.check {
      isolation = "process", transport = "unix", host = "127.0.0.1", tls = nil, preload = {},
      restart_policy = {
        enabled = true, max_restarts = 3, window = 60000, delay = 1000,
        backoff = { type = "exponential", initial = 1000, max = 30000, factor = 2, jitter = 0.1 },
      },
      resources = { max_memory = "512MB", max_cpu = 1.0, timeout = 30000 },
      monitoring = {
        health_check = { interval = 30000, timeout = 5000 }, metrics = true, tracing = false,
      },
      testing = { use_mock_spawner = false },
      advanced = {
        graceful_shutdown_timeout = 5000, liveness_sweep_interval = 30000, handle_signals = true,
        temp_dir = nil,
      },
      store = "memory",
    })
  end)

  it("merges what is given over the defaults and keeps the rest", function()
    local checked = config.check { resources = { timeout = "5s" }, logs = { format = "json" } }
    assert.equal(5000, checked.resources.timeout)
    assert.equal(536870912, checked.resources.max_memory)
    assert.equal("json", checked.logs.format)
    assert.equal(5000, checked.advanced.graceful_shutdown_timeout)
  end)

  it("never changes what is given, nor the defaults", function()
    local given = { preload = { "a" }, advanced = {} }
    local checked = config.check(given)
    checked.preload[1] = "b"
    checked.limits.nesting = 1
    assert.same({ preload = { "a" }, advanced = {} }, given)
    assert.same(defaults, config.check())
  end)

  local applied = {
    { "preload", { "a.b", "./lib/c.lua" } },
    { "resources.timeout", 1 },
    { "resources.timeout", "1.5s", 1500 },
    { "resources.timeout", false },
    { "advanced.graceful_shutdown_timeout", 0 },
    { "advanced.graceful_shutdown_timeout", "10s", 10000 },
    { "advanced.handle_signals", false },
    { "advanced.spin_us", 0 }, { "advanced.spin_us", 1000 },
    { "monitoring.metrics", false },
    { "monitoring.health_check.interval", "1s", 1000 },
    { "monitoring.health_check.timeout", 1 },
    { "monitoring.health_check.failures", 1 },
    { "monitoring.health_check.hang_after", "2m", 120000 },
    { "monitoring.health_check.restart_hung", false },
    { "monitoring.health_check.enabled", false },
    { "logs.format", "text" }, { "logs.format", "json" }, { "logs.format", "none" },
    { "limits.frame", "1KB", 1024 }, { "limits.frame", "1GB", 1073741824 },
    { "limits.nesting", 1 }, { "limits.nesting", 200 },
    { "limits.outstanding", 1 }, { "limits.outstanding", 65536 },
    { "store", "sqlite", { kind = "sqlite", path = "titan.db", busy_timeout = 5000 } },
    { "store", { kind = "sqlite", path = "/var/lib/a.db", busy_timeout = "1s" },
      { kind = "sqlite", path = "/var/lib/a.db", busy_timeout = 1000 } },
  }
  for _, case in ipairs(applied) do
    it("takes " .. case[1] .. " = " .. tostring(case[2]), function()
      local expected = case[3]
      if expected == nil then
        expected = case[2]
      end
      assert.same(expected, at(config.check(nested(case[1], case[2])), case[1]))
    end)
  end

  local not_built = {
    { "transport", "tcp", "the tcp transport is" .. NOT_BUILT .. '; what works is "unix"' },
    { "transport", "websocket",
      "the websocket transport is" .. NOT_BUILT .. '; what works is "unix"' },
    { "store", "manager",
      "the manager store is" .. NOT_BUILT .. '; what works is "memory" or "sqlite"' },
    { "store", "redis",
      "the redis store is" .. NOT_BUILT .. '; what works is "memory" or "sqlite"' },
    { "host", "0.0.0.0", "the tcp transport is" },
    { "tls", {}, "the tcp transport is" },
    { "advanced.temp_dir", "/tmp", "temporary files are" },
  }
  for _, case in ipairs(not_built) do
    it("says that " .. case[1] .. " = " .. tostring(case[2]) .. " is not built yet", function()
      local why = case[3]
      if not why:find "yet" then
        why = why .. NOT_BUILT .. "; leave the key out"
      end
      local err = refusal(config.check, nested(case[1], case[2]))
      assert.equal("config." .. case[1] .. ": " .. why, err.message)
      assert.equal("config." .. case[1], err.details.path)
    end)
  end

  local mistakes = {
    { "advanced.gracefull_shutdown_timeout", 1,
      'unknown key; did you mean "graceful_shutdown_timeout"?' },
    { "isolatoin", "process", 'unknown key; did you mean "isolation"?' },
    { "restart_policy.max_restart", 3, 'unknown key; did you mean "max_restarts"?' },
    { "restart_policy.backoff.jiter", 3, 'unknown key; did you mean "jitter"?' },
    { "logs.fromat", "json", 'unknown key; did you mean "format"?' },
    { "limits.nestin", 3, 'unknown key; did you mean "nesting"?' },
    { "kubernetes", {}, "unknown key; allowed: advanced, isolation, limits, logs, monitoring, "
      .. "preload, resources, restart_policy, security, store, testing and transport" },
    { "isolation", "proces", 'unknown value "proces"; did you mean "process"?' },
    { "isolation", 1, 'expected "process", "worker" or "thread", given number 1' },
    { "transport", "unxi", 'unknown value "unxi"; did you mean "unix"?' },
    { "store", "memroy", 'unknown value "memroy"; did you mean "memory"?' },
    { "store", 5, 'expected "memory" or "sqlite" or a table, given number 5' },
    { "store.path", "", 'expected a non-empty string without NUL, given string ""' },
    { "store.pth", "x", 'unknown key; did you mean "path"?' },
    { "preload", "a", 'expected a list, given string "a"' },
    { "resources", 5, "expected a table, given number 5" },
    { "resources.timeout", 0,
      "expected a duration of at least 1ms " .. MILLISECONDS .. ", given number 0" },
    { "resources.timeout", true,
      "expected a duration of at least 1ms " .. MILLISECONDS .. " or false, given boolean true" },
    { "advanced.graceful_shutdown_timeout", -1,
      "-1 is not a duration: it is negative; write a number of milliseconds, or a string such as "
      .. '"250ms", "1.5s", "5m" or "1h"' },
    { "advanced.graceful_shutdown_timeout", false,
      "expected a duration " .. MILLISECONDS .. ", given boolean false" },
    { "advanced.handle_signals", "yes", 'expected true or false, given string "yes"' },
    { "advanced.spin_us", -1, "expected an integer from 0 to 1000, given number -1" },
    { "advanced.spin_us", 1001, "expected an integer from 0 to 1000, given number 1001" },
    { "advanced.spin_us", "50", 'expected an integer from 0 to 1000, given string "50"' },
    { "monitoring.health_check", true, "expected a table or false, given boolean true" },
    { "monitoring.health_check.interval", 0, "expected a duration from 1ms to 24h "
      .. MILLISECONDS .. ", given number 0" },
    { "monitoring.health_check.failures", 0,
      "expected an integer from 1 to 1000, given number 0" },
    { "monitoring.health_check.intervall", 1, 'unknown key; did you mean "interval"?' },
    { "logs.format", "jsn", 'unknown value "jsn"; did you mean "json"?' },
    { "logs.format", "colourful",
      'unknown value "colourful"; allowed: "auto", "text", "json" or "none"' },
    { "limits.frame", 1023,
      "expected a size from 1KB to 1GB " .. BYTES .. ", given number 1023" },
    { "limits.frame", "2GB",
      "expected a size from 1KB to 1GB " .. BYTES .. ', given string "2GB"' },
    { "limits.nesting", 0, "expected an integer from 1 to 200, given number 0" },
    { "limits.nesting", 201, "expected an integer from 1 to 200, given number 201" },
    { "limits.nesting", 1.5, "expected an integer from 1 to 200, given number 1.5" },
    { "limits.outstanding", 0, "expected an integer from 1 to 65536, given number 0" },
    { "limits.outstanding", 65537, "expected an integer from 1 to 65536, given number 65537" },
  }
  for _, case in ipairs(mistakes) do
    it("refuses " .. case[1] .. " = " .. tostring(case[2]), function()
      local err = refusal(config.check, nested(case[1], case[2]))
      assert.equal("config." .. case[1] .. ": " .. case[3], err.message)
    end)
  end

  it("turns health checks off with false, and keeps what they would be", function()
    local off = config.check { monitoring = { health_check = false } }.monitoring.health_check
    assert.same({ enabled = false, interval = 30000, timeout = 5000, failures = 3,
      restart_hung = true }, off)
    assert.same({ enabled = false }, config.spawn_options({ health = false }).health)
    assert.same({ failures = 1 }, config.spawn_options({ health = { failures = 1 } }).health)
  end)

  it("refuses modules of preload that are no names", function()
    assert.equal("config.preload[2]: expected a non-empty string without NUL, given string \"\"",
      refusal(config.check, { preload = { "a", "" } }).message)
    assert.equal("config.preload[1]: expected a non-empty string without NUL, given number 5",
      refusal(config.check, { preload = { 5 } }).message)
    refusal(config.check, { preload = { "a\0b" } })
  end)

  it("refuses what is no table, and keys that are no strings", function()
    assert.equal('config: expected a table, given string "x"', refusal(config.check, "x").message)
    assert.equal("config[1]", refusal(config.check, { "process" }).details.path)
  end)
end)

describe("config.spawn_options", function()
  it("is complete for nothing and for an empty table", function()
    local expected = {
      options = {}, env = {}, dependencies = {}, startup_timeout = 10000, transport = "unix",
    }
    assert.same(expected, config.spawn_options())
    assert.same(expected, config.spawn_options {})
  end)

  it("takes every key that works", function()
    assert.same({
      name = "img-1", options = { 1, a = 2 }, env = { A = "b" }, cwd = "/tmp",
      startup_timeout = 2000, dependencies = { { alias = "db", service = "db" } },
      timeout = 100, shutdown_timeout = 0,
      isolation = "process", transport = "unix",
    }, config.spawn_options {
      name = "img-1", options = { 1, a = 2 }, env = { A = "b" }, cwd = "/tmp",
      startup_timeout = "2s", dependencies = { "db" }, timeout = 100, shutdown_timeout = 0,
      isolation = "process", transport = "unix",
    })
  end)

  it("hands on the very table of options, whatever is in it", function()
    local options = setmetatable({ print, [{}] = true }, {})
    assert.equal(options, config.spawn_options({ options = options }).options)
  end)

  it("knows names of up to 64 letters, digits and _.-", function()
    for _, name in ipairs { "a", "A-1_b.c", ("x"):rep(64) } do
      assert.equal(name, config.spawn_options({ name = name }).name)
    end
    for _, name in ipairs { "", "a b", "a/b", "é", "a\n", ("x"):rep(65), 5, false } do
      local err = refusal(config.spawn_options, { name = name })
      assert.equal(1, err.message:find("options.name: expected " .. NAME .. ", given ", 1, true))
    end
  end)

  it("turns numbers of env into strings and keeps false", function()
    assert.same({ A = "x", B = "8080", C = "1.5", D = false, E = "", ["odd name"] = "1" },
      config.spawn_options({
        env = { A = "x", B = 8080, C = 1.5, D = false, E = "", ["odd name"] = 1 },
      }).env)
  end)

  local env_mistakes = {
    { { [""] = "x" }, 'options.env[""]: ' .. VARIABLE .. ', given string ""' },
    { { ["A=B"] = "x" }, 'options.env["A=B"]: ' .. VARIABLE .. ', given string "A=B"' },
    { { ["A\0"] = "x" }, 'options.env["A\\0"]: ' .. VARIABLE .. ', given string "A\\0"' },
    { { "A=B" }, "options.env[1]: " .. VARIABLE .. ", given number 1" },
    { { A = "x\0y" }, 'options.env.A: expected a string without NUL, given string "x\\0y"' },
    { { A = true }, "options.env.A: expected a string without NUL, a number, "
      .. "or false to unset the variable, given boolean true" },
    { { A = {} }, "options.env.A: expected a string without NUL, a number, "
      .. "or false to unset the variable, given table" },
    { { A = math.huge }, "options.env.A: expected a number, given number inf" },
    { "A=B", 'options.env: expected a table, given string "A=B"' },
  }
  for index, case in ipairs(env_mistakes) do
    it("refuses a wrong env " .. index, function()
      local err = refusal(config.spawn_options, { env = case[1] })
      assert.equal(case[2], err.message)
    end)
  end

  it("brings dependencies into one form, sorted by alias", function()
    local function of(dependencies)
      return config.spawn_options({ dependencies = dependencies }).dependencies
    end
    assert.same({ { alias = "a", service = "a" }, { alias = "b", service = "b" } }, of { "b", "a" })
    assert.same({ { alias = "cache", service = "redis-1" }, { alias = "db", service = "pg" } },
      of { db = "pg", cache = "redis-1" })
    assert.same({}, of {})
  end)

  local dependency_mistakes = {
    { { "a", "a" }, 'options.dependencies: "a" is listed twice' },
    { { "a", 5 }, "options.dependencies[2]: expected " .. NAME .. ", given number 5" },
    { { "a b" }, "options.dependencies[1]: expected " .. NAME .. ', given string "a b"' },
    { { db = 5 }, "options.dependencies.db: expected " .. NAME .. ", given number 5" },
    { { ["a b"] = "x" },
      'options.dependencies["a b"]: bad key: expected ' .. NAME .. ', given string "a b"' },
    { "db", "options.dependencies: expected a list of service names or a table of "
      .. 'alias = service name, given string "db"' },
    { { "a", db = "x" },
      "options.dependencies[1]: bad key: expected " .. NAME .. ", given number 1" },
  }
  for index, case in ipairs(dependency_mistakes) do
    it("refuses wrong dependencies " .. index, function()
      assert.equal(case[2], refusal(config.spawn_options, { dependencies = case[1] }).message)
    end)
  end

  local durations = {
    { "startup_timeout", 1, 1 }, { "startup_timeout", "1m", 60000 },
    { "timeout", 1, 1 }, { "timeout", false, false },
    { "shutdown_timeout", 0, 0 }, { "shutdown_timeout", "2s", 2000 },
  }
  for _, case in ipairs(durations) do
    it("takes " .. case[1] .. " = " .. tostring(case[2]), function()
      assert.equal(case[3], config.spawn_options({ [case[1]] = case[2] })[case[1]])
    end)
  end

  local mistakes = {
    { "startup_timeout", 0,
      "expected a duration of at least 1ms " .. MILLISECONDS .. ", given number 0" },
    { "startup_timeout", false,
      "expected a duration of at least 1ms " .. MILLISECONDS .. ", given boolean false" },
    { "timeout", 0, "expected a duration of at least 1ms " .. MILLISECONDS .. ", given number 0" },
    { "shutdown_timeout", false,
      "expected a duration " .. MILLISECONDS .. ", given boolean false" },
    { "cwd", "", 'expected a non-empty string without NUL, given string ""' },
    { "cwd", "a\0b", 'expected a non-empty string without NUL, given string "a\\0b"' },
    { "cwd", 5, "expected a non-empty string without NUL, given number 5" },
    { "options", "x", 'expected a table, given string "x"' },
    { "nmae", "x", 'unknown key; did you mean "name"?' },
    { "stratup_timeout", 1, 'unknown key; did you mean "startup_timeout"?' },
    { "preposterous", 1, "unknown key; allowed: cwd, dependencies, env, health, isolation, "
      .. "memory, name, options, resources, restart_policy, security, shutdown_timeout, "
      .. "startup_timeout, timeout and transport" },
    { "transport", "tcp", "the tcp transport is" .. NOT_BUILT .. '; what works is "unix"' },
    { "transport", "pipe", 'unknown value "pipe"; allowed: "unix"' },
  }
  for key, feature in pairs {
    observability = "tracing and custom metrics are",
  } do
    mistakes[#mistakes + 1] = { key, {}, feature .. NOT_BUILT .. "; leave the key out" }
  end
  for _, case in ipairs(mistakes) do
    it("refuses " .. case[1] .. " = " .. tostring(case[2]), function()
      local err = refusal(config.spawn_options, { [case[1]] = case[2] })
      assert.equal("options." .. case[1] .. ": " .. case[3], err.message)
    end)
  end

  it("refuses what is no table", function()
    assert.equal('options: expected a table, given string "x"',
      refusal(config.spawn_options, "x").message)
  end)

  it("lets the class decide what the options leave out", function()
    local class = {
      startup_timeout = 500, cwd = "/srv", env = { A = "class", B = "class", C = false },
      dependencies = { { alias = "db", service = "pg" }, { alias = "log", service = "log" } },
    }
    local options = config.spawn_options({}, class)
    assert.equal(500, options.startup_timeout)
    assert.equal("/srv", options.cwd)
    assert.same({ A = "class", B = "class", C = false }, options.env)
    assert.same(class.dependencies, options.dependencies)

    options = config.spawn_options({
      startup_timeout = 1, cwd = "/tmp", env = { A = "spawn", B = false },
      dependencies = { db = "pg-2" },
    }, class)
    assert.equal(1, options.startup_timeout)
    assert.equal("/tmp", options.cwd)
    assert.same({ A = "spawn", B = false, C = false }, options.env)
    assert.same({ { alias = "db", service = "pg-2" }, { alias = "log", service = "log" } },
      options.dependencies)
    assert.same({ A = "class", B = "class", C = false }, class.env)
    assert.equal("pg", class.dependencies[1].service)
  end)
end)
