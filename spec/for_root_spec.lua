local config = require "titan.config"
local expect = require "support.expect"
local titan = require "titan"

local tokens = titan.tokens
local ECHO <const> = "workers.echo"

-- A test body that runs as a program.
local function running(fn)
  return function()
    titan.run(fn)
  end
end

describe("titan.tokens", function()
  it("are values of their own, with names to read", function()
    for _, name in ipairs { "CONFIG", "MANAGER", "REGISTRY", "SPAWNER", "METRICS", "HEALTH" } do
      assert.equal("titan.tokens." .. name, tostring(tokens[name]))
      assert.equal(tokens[name], require("titan.tokens")[name])
    end
    assert.is_not.equal(tokens.CONFIG, tokens.MANAGER)
  end)

  it("say which there are", function()
    expect.part('no token is called "MANGER"; did you mean "MANAGER"?',
      expect.error("invalid_config", function()
        return tokens.MANGER
      end).message)
    expect.error("invalid_config", function()
      tokens.CONFIG.value = 1
    end)
  end)
end)

describe("titan.for_root", function()
  it("gives the manager of its config, and the parts of it", running(function()
    local module = titan.for_root { logs = { format = "none" }, resources = { timeout = "7s" } }
    local pm = module:get(tokens.MANAGER)
    assert.equal(7000, module:get(tokens.CONFIG).resources.timeout)
    assert.equal(pm.config, module:get(tokens.CONFIG))
    local worker = module:get(tokens.SPAWNER):spawn(ECHO)
    assert.equal(1, worker:echo(1))
    local registry = module:get(tokens.REGISTRY)
    assert.equal(worker, registry:discover "echo")
    assert.equal("running", registry:get_process_info("echo").status)
    assert.equal(1, #registry:get_all_processes())
    assert.is_nil(registry.spawn)
    assert.equal(1, module:get(tokens.METRICS):get_metrics("echo").calls)
    assert.equal("healthy", module:get(tokens.HEALTH):health().status)
    local pool = module:get(tokens.SPAWNER):create_pool(ECHO, { size = 1 })
    assert.equal(2, pool:echo(2))
    pool:destroy(0)
  end))

  it("makes each value once, when it is asked for", running(function()
    local made = 0
    local module = titan.for_root({}, { [tokens.CONFIG] = function()
      made = made + 1
      titan.sleep(1)
      return { testing = { use_mock_spawner = true } }
    end })
    assert.equal(0, made)
    local both = titan.all {
      titan.go(module.get, module, tokens.MANAGER), titan.go(module.get, module, tokens.HEALTH),
      titan.go(module.get, module, tokens.MANAGER),
    }
    assert.equal(1, made)
    assert.equal(both[1], both[3])
    assert.equal(both[1], module:get(tokens.MANAGER))
  end))

  it("checks its config at once", function()
    expect.part("config.isolatoin: unknown key; did you mean \"isolation\"?",
      expect.error("invalid_config", titan.for_root, { isolatoin = "process" }).message)
  end)

  it("checks a config that is put in its place", function()
    local module = titan.for_root({}, { [tokens.CONFIG] = { isolatoin = "process" } })
    expect.part("isolatoin", expect.error("invalid_config", module.get, module,
      tokens.CONFIG).message)
    module = titan.for_root({}, { [tokens.CONFIG] = config.check {} })
    assert.same(config.check {}, module:get(tokens.CONFIG))
  end)

  it("spawns with what stands in the spawner's place", running(function()
    local spawned = {}
    local spawner = {
      spawn = function(_, given, options)
        spawned[#spawned + 1] = { given, options }
        return "a proxy"
      end,
    }
    local module = titan.for_root():override(tokens.SPAWNER, spawner)
    local pm = module:get(tokens.MANAGER)
    assert.equal("a proxy", pm:spawn("any.class", { name = "x" }))
    assert.same({ { "any.class", { name = "x" } } }, spawned)
    assert.equal(spawner, pm.spawner)
    assert.is_nil(pm:discover "x")
    assert.same({}, pm:get_all_processes())
    assert.same({}, pm:get_metrics())
    assert.equal("healthy", pm:health().status)
    assert.is_true(pm:stop_all())
    local ok, err = pm:stop_process "x"
    assert.is_nil(ok)
    assert.equal("destroyed", err.code)
    expect.part("has no create_pool", expect.error("invalid_config", pm.create_pool, pm).message)
  end))

  it("takes a factory, which gets the module", running(function()
    local module = titan.for_root({ resources = { timeout = 5 } }, {
      [tokens.SPAWNER] = function(module)
        assert(module:get(tokens.CONFIG).resources.timeout == 5)
        return titan.testing.mock_spawner()
      end,
      [tokens.HEALTH] = { health = "of my own" },
    })
    local pm = module:get(tokens.MANAGER)
    assert.equal(4, pm:spawn(ECHO):echo(4))
    assert.equal(1, #module:get(tokens.SPAWNER).calls)
    assert.equal("of my own", module:get(tokens.HEALTH).health)
  end))

  it("names a cycle", running(function()
    local module = titan.for_root({}, { [tokens.SPAWNER] = function(module)
      return module:get(tokens.HEALTH)
    end })
    expect.part("a cycle: titan.tokens.MANAGER -> titan.tokens.SPAWNER -> titan.tokens.HEALTH -> "
      .. "titan.tokens.MANAGER", expect.error("invalid_config", module.get, module,
      tokens.SPAWNER).message)
  end))

  it("names a cycle between tasks that wait for each other", running(function()
    local module = titan.for_root({}, {
      [tokens.METRICS] = function(module)
        titan.sleep(1)
        return module:get(tokens.HEALTH)
      end,
      [tokens.HEALTH] = function(module)
        titan.sleep(1)
        return module:get(tokens.METRICS)
      end,
    })
    local first = titan.go(module.get, module, tokens.METRICS)
    local second = titan.go(module.get, module, tokens.HEALTH)
    expect.part("a cycle: ", expect.error("invalid_config", first.await, first).message)
    expect.part("a cycle: ", expect.error("invalid_config", second.await, second).message)
  end))

  it("says whose factory failed, and tries it anew", running(function()
    local answers = {
      function()
        error("no file", 0)
      end,
      function()
        require("titan.errors").raise("limit_exceeded", "too much", { details = { left = 0 } })
      end,
      function() end,
      function()
        return {}
      end,
    }
    local module = titan.for_root({}, { [tokens.CONFIG] = function()
      return table.remove(answers, 1)()
    end })
    assert.equal("titan.tokens.CONFIG: its factory failed: no file",
      expect.error("invalid_config", module.get, module, tokens.MANAGER).message)
    local err = expect.error("limit_exceeded", module.get, module, tokens.CONFIG)
    assert.same({ "titan.tokens.CONFIG: its factory failed: too much", { left = 0 } },
      { err.message, err.details })
    expect.part("titan.tokens.CONFIG: its factory returned nil",
      expect.error("invalid_config", module.get, module, tokens.CONFIG).message)
    assert.is_table(module:get(tokens.CONFIG))
  end))

  it("refuses what is no spawner", running(function()
    for _, given in ipairs { { create = print }, 1 } do
      local module = titan.for_root({}, { [tokens.SPAWNER] = given })
      expect.part("spawner: ", expect.error("invalid_config", module.get, module,
        tokens.MANAGER).message)
    end
  end))

  it("refuses what is no token", function()
    local module = titan.for_root()
    for given, hint in pairs {
      MANAGER = "did you mean titan.tokens.MANAGER?", manger = "did you mean titan.tokens.MANAGER?",
      [5] = "expected one of titan.tokens, given number 5",
    } do
      expect.part({ "get.token: ", hint }, expect.error("invalid_config", module.get, module,
        given).message)
    end
    expect.part("override.token", expect.error("invalid_config", module.override, module, "x",
      1).message)
    expect.part("override.value", expect.error("invalid_config", module.override, module,
      tokens.HEALTH).message)
    expect.part("for_root.overrides", expect.error("invalid_config", titan.for_root, {},
      { SPAWNER = {} }).message)
    expect.part("for_root.overrides", expect.error("invalid_config", titan.for_root, {},
      true).message)
  end)

  it("refuses to override what has been used", running(function()
    local module = titan.for_root { testing = { use_mock_spawner = true } }
    local pm = module:get(tokens.MANAGER)
    expect.part("titan.tokens.CONFIG has been used already", expect.error("invalid_config",
      module.override, module, tokens.CONFIG, {}).message)
    expect.part("titan.tokens.SPAWNER is part of titan.tokens.MANAGER, which has been used",
      expect.error("invalid_config", module.override, module, tokens.SPAWNER, {}).message)
    assert.equal("mine", module:override(tokens.HEALTH, { "mine" }):get(tokens.HEALTH)[1])
    assert.equal(pm, module:get(tokens.MANAGER))
  end))
end)

describe("titan.for_root_async", function()
  it("waits for the factory of its config", running(function()
    local module = titan.for_root_async { use_factory = function()
      titan.sleep(1)
      return { testing = { use_mock_spawner = true }, resources = { timeout = 9 } }
    end }
    assert.equal(9, module:get(tokens.MANAGER).config.resources.timeout)
  end))

  it("injects what another module has", running(function()
    local existing = titan.for_root { resources = { timeout = 9 },
      testing = { use_mock_spawner = true } }
    local module = titan.for_root_async {
      use_existing = existing, inject = { tokens.CONFIG, tokens.MANAGER },
      use_factory = function(given, pm)
        assert(pm == existing:get(tokens.MANAGER))
        return { resources = { timeout = given.resources.timeout + 1 } }
      end,
    }
    assert.equal(10, module:get(tokens.CONFIG).resources.timeout)
    assert.equal(9, existing:get(tokens.CONFIG).resources.timeout)
    assert.is_not.equal(existing:get(tokens.MANAGER), module:get(tokens.MANAGER))
  end))

  it("injects what is put in place here", running(function()
    local module = titan.for_root_async {
      inject = { tokens.METRICS },
      use_factory = function(metrics)
        return { resources = { timeout = metrics.timeout } }
      end,
    }
    module:override(tokens.METRICS, { timeout = 3 })
    assert.equal(3, module:get(tokens.CONFIG).resources.timeout)
    local round = titan.for_root_async { inject = { tokens.HEALTH }, use_factory = print }
    expect.part("a cycle: titan.tokens.CONFIG -> titan.tokens.HEALTH -> titan.tokens.MANAGER -> "
      .. "titan.tokens.CONFIG", expect.error("invalid_config", round.get, round,
      tokens.HEALTH).message)
  end))

  it("shares what another module has, but for what is overridden", running(function()
    local existing = titan.for_root { testing = { use_mock_spawner = true } }
    local shared = titan.for_root_async { use_existing = existing }
    assert.equal(existing:get(tokens.MANAGER), shared:get(tokens.MANAGER))
    assert.equal(existing:get(tokens.SPAWNER), shared:get(tokens.SPAWNER))
    local spawner = titan.testing.mock_spawner()
    local other = titan.for_root_async { use_existing = existing }
    other:override(tokens.SPAWNER, spawner)
    assert.equal(existing:get(tokens.CONFIG), other:get(tokens.CONFIG))
    assert.equal(spawner, other:get(tokens.MANAGER).spawner)
    assert.is_not.equal(existing:get(tokens.MANAGER), other:get(tokens.MANAGER))
  end))

  it("says whose factory failed", running(function()
    local module = titan.for_root_async { use_factory = function()
      error("no network", 0)
    end }
    assert.equal("titan.tokens.CONFIG: its factory failed: no network",
      expect.error("invalid_config", module.get, module, tokens.HEALTH).message)
    module = titan.for_root_async { use_factory = function() end }
    expect.part("its factory returned nil", expect.error("invalid_config", module.get, module,
      tokens.CONFIG).message)
  end))

  it("refuses options that are none, and those that do not fit", function()
    for part, options in pairs {
      ['for_root_async.use_factroy: unknown key; did you mean "use_factory"?'] = {
        use_factroy = print },
      ["it says neither how the config is made nor where it is"] = {},
      ["for_root_async.inject: there is no use_factory"] = { inject = {},
        use_existing = titan.for_root() },
      ["for_root_async.inject[2]: "] = { use_factory = print, inject = { tokens.CONFIG, "x" } },
      ["for_root_async.use_existing: expected a module"] = { use_existing = {} },
    } do
      expect.part(part, expect.error("invalid_config", titan.for_root_async, options).message)
    end
  end)
end)
