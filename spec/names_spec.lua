local managed = require "support.managed"
local names = require "titan.names"

-- A register of names, which counts how often it was asked.
local function register(hints)
  local taken, asked = {}, 0
  local function is_free(name)
    asked = asked + 1
    return not taken[name]
  end
  local function take(choose, name)
    local chosen = choose(name, is_free, hints)
    assert(not taken[chosen])
    taken[chosen] = true
    return chosen
  end
  return {
    take = take,
    -- So many of each kind.
    fill = function(count, named, numbered)
      for _ = 1, count do
        take(names.free, named)
        take(names.numbered, numbered)
      end
    end,
    release = function(name)
      taken[name] = nil
      names.released(hints, name)
    end,
    asked = function()
      return asked
    end,
  }
end

describe("a name that nobody chose", function()
  it("is the lowest that is free", function()
    for _, hints in ipairs { names.hints(), false } do
      local of = register(hints or nil)
      assert.equal("w", of.take(names.free, "w"))
      assert.equal("w-2", of.take(names.free, "w"))
      assert.equal("w-1", of.take(names.numbered, "w"))
      assert.equal("w-3", of.take(names.numbered, "w"))
      assert.equal("w-4", of.take(names.free, "w"))
    end
  end)

  it("is one that was given back", function()
    local of = register(names.hints())
    of.fill(5, "w", "n-1")
    of.release "w-3"
    of.release "w"
    of.release "n-1-4"
    of.release "w-03"
    of.release "w-99999999999999999999"
    assert.equal("w", of.take(names.free, "w"))
    assert.equal("w-3", of.take(names.free, "w"))
    assert.equal("w-6", of.take(names.free, "w"))
    assert.equal("n-1-4", of.take(names.numbered, "n-1"))
    assert.equal("n-1-6", of.take(names.numbered, "n-1"))
  end)

  it("is no longer than a name may be", function()
    local of, long = register(names.hints()), ("x"):rep(70)
    assert.equal(("x"):rep(64), of.take(names.free, long))
    assert.equal(("x"):rep(62) .. "-2", of.take(names.free, long))
    assert.equal(("x"):rep(62) .. "-1", of.take(names.numbered, long))
  end)

  it("is found at once among thousands", function()
    local of = register(names.hints())
    of.fill(5000, "w", "w-of-pool")
    assert(of.asked() <= 4 * 5000, of.asked())
  end)

  it("comes back when its process ends", managed(function(pm)
    local workers = {}
    for i = 1, 4 do
      workers[i] = pm:spawn "workers.echo"
    end
    local all = {}
    for i, worker in ipairs(workers) do
      all[i] = pm:get_process_info(worker:__id()).name
    end
    assert.same({ "echo", "echo-2", "echo-3", "echo-4" }, all)
    pm:stop_process "echo-3"
    pm:stop_process "echo-2"
    assert.equal("echo-2", pm:get_process_info(pm:spawn("workers.echo"):__id()).name)
    assert.equal("echo-3", pm:get_process_info(pm:spawn("workers.echo"):__id()).name)
    assert.equal("echo-5", pm:get_process_info(pm:spawn("workers.echo"):__id()).name)
  end))
end)
