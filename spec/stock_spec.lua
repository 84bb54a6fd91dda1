--- States of threads are made ahead of their need, and their memory is kept for the next: nobody
-- may see more of that than that it is quick.

local managed = require "support.managed"
local titan = require "titan"

local WORKER <const> = "workers.pristine"
local SPAWNS <const> = 40 -- more than are ready at first, so that both ways of a start are taken

for _, isolation in ipairs { "worker", "thread" } do
  describe("a start with isolation = " .. isolation, function()
    it("finds nothing that another has left", managed({ isolation = isolation }, function(pm)
      local loaded, globals
      for _ = 1, SPAWNS do
        local worker = pm:spawn(WORKER)
        local clean, its_loaded, its_globals = worker:found()
        assert.is_true(clean)
        assert.equal(loaded or its_loaded, its_loaded)
        assert.equal(globals or its_globals, its_globals)
        loaded, globals = its_loaded, its_globals
        worker:leave()
        pm:stop_process(worker:__id(), 0)
      end
    end))

    it("leaves nothing loaded of what it ran", managed({ isolation = isolation }, function(pm)
      for _ = 1, SPAWNS do
        local worker = pm:spawn(WORKER)
        local names = worker:loaded_now()
        assert.is_nil(names:find("titan.worker.", 1, true), names)
        assert.is_nil(names:find("titan.class.", 1, true), names)
        pm:stop_process(worker:__id(), 0)
      end
    end))

    it("is as good when many come at once", managed({ isolation = isolation }, function(pm)
      local futures = {}
      for i = 1, SPAWNS do
        futures[i] = titan.go(function()
          local worker = pm:spawn(WORKER)
          local clean = worker:found()
          worker:leave()
          return clean
        end)
      end
      for _, clean in ipairs(titan.all(futures)) do
        assert.is_true(clean)
      end
    end))
  end)
end
