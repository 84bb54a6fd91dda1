-- Counts and measures what it does under names of its own.
local core = require "titan.core"
local titan = require "titan"

local counter, labels_seen = 0, {}

local function pass(_, ...)
  return ...
end

return titan.process {
  name = "metered",
  all_methods_public = true,
  methods = {
    plain = { metric = "plain.calls", pass },
    both = {
      metric = { counter = "both.calls", histogram = "both.ms", labels = { region = "eu" } },
      pass,
    },
    rest = {
      metric = { histogram = "rest.ms", labels = { how = function(how) return how end } },
      function(_, _, time)
        titan.sleep(time)
      end,
    },
    failing = {
      metric = { counter = "failing.calls", histogram = "failing.ms" },
      function()
        error "it failed"
      end,
    },
    labelled = {
      metric = {
        counter = "labelled.calls",
        labels = {
          zone = "a\\b\"c",
          format = function(input, width)
            labels_seen = { input, width }
            return input
          end,
          wide = function(_, width)
            return width and width > 100
          end,
        },
      },
      pass,
    },
    many = {
      metric = { counter = "many.calls", histogram = "many.ms",
        labels = { id = function(id) return id end } },
      pass,
    },
    broken = {
      metric = { counter = "broken.calls", labels = {
        raising = function(what) return what.field end,
        refused = function(_, what) return what end,
      } },
      function()
        counter = counter + 1
      end,
    },
    -- What the label functions were given, and how often `broken` ran.
    seen = function()
      return labels_seen, counter
    end,
    spin = function(self, method, times, ...)
      for _ = 1, times do
        self[method](self, ...)
      end
    end,
    -- What the annotation is made of, without its care.
    add = function(_, text, n)
      core.series_add(core.series("counter", text), n)
    end,
    record = function(_, text, ms)
      core.series_record(core.series("histogram", text), ms)
    end,
    -- Ids from `first` to `last`.
    range = function(self, first, last)
      for id = first, last do
        self:many(id)
      end
    end,
  },
}
