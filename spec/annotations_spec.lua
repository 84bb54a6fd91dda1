local expect = require "support.expect"
local managed = require "support.managed"
local titan = require "titan"

local function refused(methods, annotations)
  return expect.error("invalid_config", titan.process, {
    name = "c", annotations = annotations, methods = methods,
  }).message
end

describe("an annotation of one's own", function()
  it("is put around the method, in the process that serves it", managed(function(pm)
    local worker = pm:spawn("workers.annotated", { name = "first" })
    assert.same({ "loud in annotated.shout of first", "HELLO" }, worker:shout "hello")
    assert.same({ "loud in annotated.shout of first", "HELLO" }, worker:indirectly "hello")
  end))

  it("may be declined by a method, which then pays nothing for it", managed(function(pm)
    assert.equal("hello", pm:spawn("workers.annotated"):whisper "hello")
  end))

  it("comes in the order of its name, outside of Titan's own", managed(function(pm)
    assert.same({ "(", "[", "x", "]", ")" }, pm:spawn("workers.annotated"):nested "x")
  end))

  it("is checked by its schema and by itself", function()
    local own = {
      limit = {
        schema = { kind = "integer", min = 1 },
        check = function(value)
          if value == 13 then
            error("not 13", 0)
          end
        end,
      },
    }
    assert.equal("c.methods.m.limit: expected an integer of at least 1, given number 0",
      refused({ m = { limit = 0, function() end } }, own))
    assert.equal('c.methods.m.limti: unknown annotation; did you mean "limit"?',
      refused({ m = { limti = 1, function() end } }, own))
    expect.complaint("not 13", titan.process, {
      annotations = own, methods = { m = { limit = 13, function() end } },
    })
  end)

  it("is refused under a name of Titan's, without a schema, or beside one it excludes", function()
    local schema = { kind = "boolean" }
    assert.equal('c.annotations.public: "public" is an annotation of Titan\'s own',
      refused({}, { public = { schema = schema } }))
    assert.equal("c.annotations.bare.schema: required; expected a schema",
      refused({}, { bare = {} }))
    assert.equal("c.annotations[1]: an annotation's name is a Lua identifier",
      refused({}, { { schema = schema } }))
    assert.equal("c.methods.m: a and b cannot be together: they fight", refused(
      { m = { a = true, b = true, function() end } },
      { a = { schema = schema, excludes = { b = "they fight" } }, b = { schema = schema } }))
  end)
end)
