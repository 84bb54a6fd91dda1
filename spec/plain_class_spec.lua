-- Plain declarations are recognised without a schema: the class is the same, and a mistake is still
-- one.

local class = require "titan.class"
local declared = require "titan.class.declared"
local expect = require "support.expect"
local plain = require "titan.class.plain"

local function method() end

---@type table<string, table>
local PLAIN <const> = {
  ["without methods"] = { methods = {} },
  ["with bare functions"] = { methods = { b = method, a = method, _c1 = method } },
  ["with all facts"] = {
    name = "image-worker", version = "1.0.0", init = method,
    methods = {
      shown = { public = true, method },
      hidden = { public = false, health_check = true, method },
      last = { on_shutdown = true, method },
      nothing = { method, health_check = false, on_shutdown = false },
    },
  },
  ["whose methods are all public"] = {
    all_methods_public = true,
    methods = { a = method, b = { public = false, method }, c = { method } },
  },
  ["whose methods are private"] = { all_methods_public = false, methods = { a = method } },
}

local tagged = setmetatable({ methods = {} }, {})

---@type table<string, any>
local OTHERS <const> = {
  ["no table"] = 5,
  ["nothing"] = {},
  ["an object"] = tagged,
  ["no name of a class"] = { name = "a b", methods = {} },
  ["an empty name"] = { name = "", methods = {} },
  ["a long name"] = { name = ("n"):rep(65), methods = {} },
  ["an empty version"] = { version = "", methods = {} },
  ["an unknown key"] = { methods = {}, method = {} },
  ["a dependency"] = { methods = {}, dependencies = { "store" } },
  ["an environment"] = { methods = {}, env = { A = "1" } },
  ["a restart policy"] = { methods = {}, restart_policy = { delay = 1 } },
  ["init that is no function"] = { init = true, methods = {} },
  ["methods without names"] = { methods = { method } },
  ["a name that is Titan's"] = { methods = { __id = method } },
  ["a word of the language"] = { methods = { ["end"] = method } },
  ["a name that proxies use"] = { methods = { async = { public = true, method } } },
  ["no function"] = { methods = { a = { public = true } } },
  ["a method that is none"] = { methods = { a = 5 } },
  ["a fact that is none"] = { methods = { a = { public = 1, method } } },
  ["an annotation"] = { methods = { a = { timeout = "1s", method } } },
  ["a second function"] = { methods = { a = { method, method } } },
}

describe("a plain declaration", function()
  for what, declaration in pairs(PLAIN) do
    it(what .. " makes the class that the schema makes", function()
      local quick = assert(plain.check(declaration))
      assert.same(declared.check(declaration), quick)
      for _, name in ipairs(quick.method_names) do
        assert.equal(declared.check(declaration).methods[name].fn, quick.methods[name].fn)
      end
    end)
  end

  it("has its file, however it is returned", function()
    local here = debug.getinfo(1, "S").source:sub(2)
    local made = class.process { methods = { a = method } }
    local tail = (function()
      return class.process { methods = { a = method } }
    end)()
    expect.part("plain_class_spec.lua", made.source)
    assert.equal(made.source, tail.source)
    assert.equal(here:match "[^/]+$", made.source:match "[^/]+$")
    assert.equal("titan.process (unnamed)", tostring(made))
    assert.is_true(class.is(made))
  end)
end)

describe("a declaration is not plain with", function()
  for what, declaration in pairs(OTHERS) do
    it(what, function()
      assert.is_nil(plain.check(declaration))
    end)
  end
end)
