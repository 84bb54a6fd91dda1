--- A native thread that has ended a worker is kept for the next, unless that one may have changed
--- it.

local luv = require "luv"

local managed = require "support.managed"

local WORKER <const> = "workers.nice"
local SPAWNS <const> = 12

---@return string
local function native_threads()
  local names, scan = {}, assert(luv.fs_scandir "/proc/self/task")
  for name in luv.fs_scandir_next, scan do
    names[#names + 1] = name
  end
  table.sort(names)
  return table.concat(names, " ")
end

describe("the native thread of a worker", function()
  it("is that of the one that has ended", managed({ isolation = "worker" }, function(pm)
    local before
    for _ = 1, SPAWNS do
      local worker = pm:spawn(WORKER)
      worker:pass()
      pm:stop_process(worker:__id(), 0)
      before = before or native_threads()
    end
    assert.equal(before, native_threads())
  end))

  it("is no other's when it may have been changed", managed({ isolation = "worker" }, function(pm)
    for _ = 1, SPAWNS do
      local worker = pm:spawn(WORKER)
      assert.equal(0, worker:niceness())
      assert.is_true(worker:be_nice())
      assert.equal(7, worker:niceness())
      pm:stop_process(worker:__id(), 0)
    end
  end))
end)
