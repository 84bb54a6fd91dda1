-- The definition files of lua/types say what the code takes and gives, no more and no less.

local annotations = require "titan.annotations.all"
local class = require "titan.class"
local composed = require "titan.class.composed"
local config = require "titan.config"
local containers = require "titan.schema.containers"
local errors = require "titan.errors"
local events = require "titan.events"
local expect = require "support.expect"
local layers = require "titan.config.layers"
local luacats = require "support.luacats"
local luv = require "luv"
local managed = require "support.managed"
local methods = require "titan.class.methods"
local pool = require "titan.pool"
local pool_config = require "titan.config.pool"
local proxy = require "titan.proxy"
local root = require "titan.root"
local scalars = require "titan.schema.scalars"
local starting = require "titan.manager.starting"
local supervisor_config = require "titan.config.supervisor"
local tasks = require "titan.tasks"
local text = require "titan.text"
local titan = require "titan"
local typed_of = require "support.typed"
local validation = require "titan.validation"
local value_scalars = require "titan.validation.scalars"

local FOLDER <const> = debug.getinfo(1, "S").source:match "^@(.*)spec/[^/]+$" .. "lua/types/"

local files = { FOLDER .. "titan.lua" }
local scan = luv.fs_scandir(FOLDER .. "titan")
for name in luv.fs_scandir_next, scan do
  files[#files + 1] = FOLDER .. "titan/" .. name
end

local BUILT_IN <const> = {
  any = true, ["nil"] = true, string = true, number = true, integer = true, boolean = true,
  table = true,
}

---@param names any[]
---@return table<any, true>
local function set_of(names)
  local set = {}
  for _, name in ipairs(names) do
    set[name] = true
  end
  return set
end

local all <const> = luacats.read(files)
local known <const> = methods.known("", nil).schema.fields

-- What an object has, by its metatable.
---@param object table
---@return table<string, any>
local function methods_of(object)
  local index = getmetatable(object).__index
  return type(index) == "table" and index or object
end

-- A function that is there to say that there is nothing.
---@param why string
---@param fn function
local function refuses(why, fn)
  expect.part(why, expect.error("invalid_config", fn).message)
end

describe("The definition files", function()
  local typed

  before_each(function()
    typed = typed_of(all)
  end)

  local function agree()
    assert.equal("", typed:story())
  end

  -- The methods of an object, and that the fields are there of which its class speaks.
  local function compare_object(name, object, ignored)
    local fields = {}
    for key in pairs(ignored or {}) do
      fields[key] = true
    end
    for key, field in pairs(all.classes[name].fields) do
      fields[key] = true
      if object[key] == nil and not field.optional then
        typed:complain(name .. "." .. key, "the type has it, the object does not")
      end
    end
    typed:compare_names(name, methods_of(object), fields)
  end

  it("are Lua, and every name of a type in them is known", function()
    for _, file in ipairs(files) do
      assert(loadfile(file))
      local first = io.lines(file)()
      assert.matches("^%-%-%-@meta ", first)
    end
    for _, use in ipairs(all.used) do
      local name = use.name
      if not all.classes[name] and not all.aliases[name] and not BUILT_IN[name] then
        table.insert(all.problems, use.where .. ": there is no type " .. name)
      end
    end
    assert.equal("", table.concat(all.problems, "\n"))
  end)

  it("have every key of the titan table, and no other", function()
    local names, refused = {}, {}
    for _, list in ipairs { titan, getmetatable(titan).later } do
      for name in pairs(list) do
        names[name] = titan[name]
      end
    end
    for _, name in ipairs { "workflow", "actor" } do
      if names[name] then
        refused[name] = true
        refuses(text.not_built("titan." .. name), titan[name])
      end
    end
    names.process = true -- its second parameter is for Titan alone
    typed:compare_names("titan", names, refused)
    typed:compare_names("titan.Tokens", titan.tokens)
    typed:compare_names("titan.testing", titan.testing)
    agree()
  end)

  it("have the annotations and all their options", function()
    typed:compare_class("method", "titan.process.Method", { fields = known },
      { child = true, [1] = true })
    typed:compare_class("config", "titan.restart.Backoff",
      config.schemas.manager.fields.restart_policy.fields.backoff)
    typed:compare("child", { { kind = "name", name = "titan.supervisor.ChildAnnotation" } },
      known.child)
    typed:compare_class("annotation", "titan.Annotation", methods.own_schema)
    typed:check_defaults()
    agree()
    for name in pairs(annotations.pending) do
      assert.is_nil(all.classes["titan.process.Method"].fields[name])
    end
  end)

  it("say in which order annotations apply", function()
    local order = {}
    for _, entry in ipairs(annotations.list({ ["the class's own"] = {} }, { "the class's own" })) do
      if entry.annotation.wrap or entry.name == "the class's own" then
        order[#order + 1] = entry.name
      end
    end
    expect.part(table.concat(order, ", "), all.classes["titan.process.Method"].text)
  end)

  it("have what a declaration of a class may say", function()
    typed:compare_class("process", "titan.process.Declaration", class.schema)
    agree()
  end)

  it("have the config, the options of spawn and of pools, with their defaults", function()
    typed:compare_class("config", "titan.manager.Config", config.schemas.manager)
    typed:compare_class("spawn", "titan.spawn.Options", config.schemas.spawn)
    typed:compare_class("process", "titan.process.Declaration", class.schema)
    typed:compare_class("pool", "titan.pool.Options", pool_config.schema)
    typed:check_defaults()
    agree()
  end)

  it("have supervisors and their children, with their defaults", function()
    local schemas = supervisor_config.schemas
    typed:compare_class("config", "titan.restart.Policy",
      config.schemas.manager.fields.restart_policy)
    typed:compare_class("supervisor", "titan.supervisor.Declaration", schemas.supervisor)
    typed:compare_class("child", "titan.supervisor.Child", schemas.child)
    typed:check_defaults()
    agree()
  end)

  it("have the options of calls, those of pools apart", function()
    typed:compare_class("pool:with", "titan.pool.CallOptions", proxy.with_schema)
    typed:compare_class("with", "titan.call.Options", proxy.with_schema, set_of(proxy.pools_only))
    agree()
  end)

  it("have the options of titan.for_root_async", function()
    typed:compare_class("for_root_async", "titan.root.AsyncOptions", root.async_schema)
    agree()
  end)

  it("have the schemas of validate and of annotations", function()
    local forms <const> = {
      list = "List", map = "Map", fields = "Fields", any_of = "AnyOf", type = "Value",
    }
    for form, spec in pairs(validation.forms) do
      local required = form ~= "type" and { fields = { [form] = { required = true } } } or {}
      typed:compare_class("validate", "titan.validate." .. forms[form],
        layers.over(spec, required))
    end
    typed:check_defaults()
    local types, kinds = {}, {}
    for _, name in ipairs(value_scalars.type_names) do
      types[name], types[name .. "?"] = true, true
    end
    typed:compare_set("titan.validate.TypeName", all.aliases["titan.validate.TypeName"], types)
    for _, list in ipairs { scalars, containers } do
      for kind in pairs(list) do
        kinds[kind] = true
      end
    end
    typed:compare_set("titan.SchemaKind", all.aliases["titan.SchemaKind"], kinds)
    agree()
  end)

  it("have the errors", function()
    typed:compare_set("titan.ErrorCode", all.aliases["titan.ErrorCode"], errors.codes)
    typed:compare_names("titan.ErrorFields", errors.optional_fields)
    typed:compare_names("titan.Error",
      layers.over(errors.optional_fields, { code = true, message = true }))
    agree()
  end)

  it("have the events, each with what its handlers get", function()
    local overloads = {}
    for _, overload in ipairs(all.classes["titan.Manager"].functions.on.overloads) do
      overloads[overload[1].params[2].type[1].value] = true
    end
    typed:compare_set("titan.EventName", all.aliases["titan.EventName"], set_of(events.known))
    assert.same(set_of(events.known), overloads)
    agree()
  end)

  it("have what proxies and pools offer beside methods", function()
    local own = starting._proxy_functions(nil, nil, "")
    own.async, own.with = true, true
    for name in pairs(own) do -- "__id" is a name like any other here
      local proxies = all.classes["titan.Proxy"]
      if not proxies.functions[name] and not proxies.fields[name] then
        typed:complain("titan.Proxy." .. name, "the code has it, the type does not")
      end
    end
    typed:compare_names("titan.Proxy", own)
    local of_pool = { async = true, with = true }
    for _, list in ipairs { pool.own_functions {}, pool.live_fields {} } do
      for name, fn in pairs(list) do
        of_pool[name] = fn
      end
    end
    typed:compare_names("titan.PoolProxy", of_pool)
    agree()
  end)

  it("have futures, modules, and where an annotation is", function()
    compare_object("titan.Future", (tasks.promise()))
    compare_object("titan.Module", titan.for_root {})
    local place
    local declared = class.process {
      annotations = { seen = { schema = { kind = "boolean" }, wrap = function(inner, _, given)
        place = given
        return inner
      end } },
      methods = { get = { seen = true, function() end } },
    }
    composed.all(declared, "worker", "workers")
    typed:check_value("place", place, "titan.Place")
    agree()
  end)

  it("have the testing kit", function()
    local spawner = titan.testing.mock_spawner()
    compare_object("titan.MockSpawner", spawner, { create_supervisor = true })
    refuses("the mock spawner has no supervisors", spawner.create_supervisor)
    compare_object("titan.Answer", spawner:on("store", "get"))
    do
      local clock <close> = titan.testing.virtual_clock()
      compare_object("titan.VirtualClock", clock)
    end
    agree()
  end)

  it("have managers, supervisors, and the context of a call", managed(function(pm)
    refuses(text.not_built "workflows", pm.workflow)
    compare_object("titan.Manager", pm, { workflow = true })
    compare_object("titan.Spawner", pm.spawner)
    compare_object("titan.Supervisor", pm:create_supervisor {})
    typed:check_value("context", titan.context(), "titan.Context")
    agree()
  end))

  -- Hears all events, and holds what they bring against their types.
  ---@param pm titan.Manager
  ---@return fun(event: string) await
  local function listen(pm)
    local heard = {}
    for _, overload in ipairs(all.classes["titan.Manager"].functions.on.overloads) do
      local params = overload[1].params
      local event, data = params[2].type[1].value, params[3].type[1].params[1].type
      local future, settle = tasks.promise()
      heard[event] = future
      pm:on(event, function(brought)
        typed:check_value(event, brought, data)
        settle(true)
      end)
    end
    return function(event)
      titan.timeout("5s", heard[event].await, heard[event])
    end
  end

  it("say what a process and a manager tell of themselves", managed({
    restart_policy = { delay = 1, max_restarts = 1 },
    monitoring = { health_check = { interval = "1ms" } },
  }, function(pm)
    local await = listen(pm)
    local worker = pm:spawn "workers.typed"
    worker:get "a"
    await "process:spawn"
    await "process:ready"
    await "log"
    await "health:change"
    local function look()
      typed:check_value("info", pm:get_process_info "typed", "titan.ProcessInfo")
      typed:check_value("metrics", pm:get_metrics "typed", "titan.Metrics")
    end
    typed:check_value("health", worker:__health(), "titan.Health")
    typed:check_value("health", pm:health(), "titan.manager.Health")
    typed:check_value("config", pm.config.logs, "titan.config.Logs")
    look()
    pm:kill "typed"
    await "process:crash"
    await "process:restart"
    look()
    pm:stop_process "typed"
    await "process:stop"
    typed:check_value("info", pm:get_all_processes()[1], "titan.ProcessInfo")
    agree()
  end))

  it("say what pools and supervisors tell of themselves", managed({
    restart_policy = { max_restarts = 0 },
  }, function(pm)
    local await = listen(pm)
    local workers = pm:create_pool("workers.typed", { name = "pool", size = 1 })
    workers:get "a"
    typed:check_value("pool", workers:metrics(), "titan.pool.Metrics")
    local app = pm:create_supervisor { name = "app", children = {
      { name = "bad", process = "workers.typed", options = { cwd = "/nowhere" } },
      { name = "good", process = "workers.typed", critical = true },
    } }
    app:start()
    await "child:start-failed"
    typed:check_value("children", app:which_children(), {
      { kind = "list", of = { { kind = "name", name = "titan.supervisor.Entry" } } },
    })
    typed:check_value("count", app:count_children(), "titan.supervisor.Count")
    pm:kill "good"
    await "child:failed"
    await "supervisor:failed"
    workers:scale(2)
    await "pool:scale"
    pm:kill "pool-1"
    pm:kill "pool-2"
    await "pool:failed"
    agree()
  end))
end)
