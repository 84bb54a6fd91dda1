--- Lua's own libraries are the same wherever a worker runs.

local library_names = require "support.library_names"
local managed = require "support.managed"
local proc = require "support.proc"

local WORKER <const> = "workers.libraries"
local LIBRARIES <const> = { "coroutine", "debug", "io", "math", "os", "string", "table", "utf8" }

describe("the standard libraries of a worker", function()
  it("have all that Lua's have", managed(function(pm)
    local worker = pm:spawn(WORKER)
    for _, library in ipairs(LIBRARIES) do
      assert.equal(library_names(library), worker:names(library))
      assert.is_true(worker:is_loaded(library))
      assert.is_false(library ~= "string" and worker:has_metatable(library))
    end
  end))

  it("are there at the first look at any name", managed(function(pm)
    for _, library in ipairs(LIBRARIES) do
      local worker = pm:spawn(WORKER)
      local name = next(_G[library])
      assert.equal(type(_G[library][name]), worker:read(library, name))
      assert.equal("nil", worker:read(library, "no such name"))
      assert.equal(library_names(library), worker:names(library))
      pm:stop_process(worker:__id(), 0)
    end
  end))

  it("keep what was put in their place before", managed(function(pm)
    local worker = pm:spawn(WORKER)
    assert.same({ "mine", 2, 7, true }, { worker:replace() })
  end))

  it("work", managed(function(pm)
    local worker = pm:spawn(WORKER)
    assert.same({ "integer", true, "here" }, { worker:count() })
  end))

  it("print to the manager", managed(function(pm)
    local worker = pm:spawn(WORKER)
    assert.same({ "file", true, "nil" }, { worker:write "printed" })
    proc.await("both lines", function()
      local info = pm:get_process_info(worker:__id())
      return info.stdout_tail == "printed\n" and info.stderr_tail == "printed to stderr\n"
    end)
  end))
end)
