--- Each spec runs over all isolations, or says why it does not.

local isolation = require "support.isolation"
local luv = require "luv"

describe("the specs", function()
  it("run over all isolations, or are listed with the reason", function()
    local listed = {}
    for _, file in ipairs(isolation.files) do
      assert.is_nil(isolation.elsewhere[file], file .. " is listed twice")
      listed[file] = true
    end
    for file, reason in pairs(isolation.elsewhere) do
      assert.is_true(#reason > 0)
      listed[file] = true
    end
    local scan = assert(luv.fs_scandir "spec")
    for name in luv.fs_scandir_next, scan do
      if name:find "_spec%.lua$" then
        assert.is_true(listed["spec/" .. name], name .. " is not in spec/support/isolation.lua")
        listed["spec/" .. name] = nil
      end
    end
    assert.same({}, listed)
  end)
end)
