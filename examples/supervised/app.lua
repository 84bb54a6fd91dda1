-- A tree of three levels that is shot at for ten seconds and heals.
--
-- usage: titan run app.lua [SECONDS]
--
-- Every 150 ms one of the running processes is killed, while eight customers ask the pool for
-- prices. What happens is printed as a tree: the line stands under whom it happened to. In the end
-- every child is up again and no customer was left without a price.
local luv = require "luv"
local titan = require "titan"

local SECONDS <const> = tonumber(arg[1]) or 10
local CUSTOMERS <const> = 8
local EVERY_MS <const> = 150

local pm = titan.manager { logs = { format = "none" } }

local quick = { type = "fixed", initial = 50, jitter = 0.5 }

local shop = pm:create_supervisor(titan.supervisor {
  name = "shop", strategy = "one_for_one",
  max_restarts = 1000, delay = 20, backoff = quick,
  children = {
    { name = "ledger", process = "shop", critical = true },
    {
      name = "storehouse", critical = true,
      supervisor = titan.supervisor {                     -- who takes goods needs who counts them
        strategy = "rest_for_one", max_restarts = 1000, delay = 20, backoff = quick,
        children = {
          { name = "counter", process = "shop" },
          { name = "picker", process = "shop" },
          {
            name = "dispatch",
            supervisor = titan.supervisor {
              strategy = "one_for_all", max_restarts = 1000, delay = 20, backoff = quick,
              children = {
                { name = "packer", process = "shop" },
                { name = "driver", process = "shop", restart = "transient" },
              },
            },
          },
        },
      },
    },
    {
      name = "tills", pool = "shop",
      options = {
        size = 4, max_queue_size = 100,
        spawn_options = { restart_policy = { max_restarts = 1000, delay = 20, backoff = quick } },
      },
    },
  },
})

-- The event log ----------------------------------------------------------------------------

local depth = {
  ledger = 1, storehouse = 1, counter = 2, picker = 2, dispatch = 2, packer = 3, driver = 3,
}
local start = luv.hrtime()

local function tell(name, what)
  local level = depth[name] or 2 -- a till
  print(string.format("%6.2f s  %s+- %s %s", (luv.hrtime() - start) / 1e9,
    ("|  "):rep(level - 1), name, what))
end

pm:on("process:crash", function(report)
  tell(report.name, "x " .. report.reason)
end)
pm:on("process:stop", function(info)
  tell(info.name, "- stopped")
end)
pm:on("process:ready", function(info)
  tell(info.name, info.restart_count > 0 and "* is back, life " .. info.restart_count + 1
    or "* is up")
end)

-- Customers and the marksman ---------------------------------------------------------------

local running, served, lost = true, 0, 0

local function buy(tills)
  while running do
    local ok = pcall(tills.price, tills, "umbrella")
    served, lost = served + (ok and 1 or 0), lost + (ok and 0 or 1)
  end
end

local function shoot()
  local targets = {}
  for _, info in ipairs(pm:get_all_processes()) do
    targets[#targets + 1] = info.status == "running" and info or nil
  end
  if #targets > 0 then
    pm:kill(targets[math.random(#targets)].id)
  end
end

local function print_tree(supervisor, indent)
  for _, child in ipairs(supervisor:which_children()) do
    print(string.format("%s%-11s %-10s %-8s %3d restarts", indent, child.name, child.kind,
      child.status, child.restarts))
    if child.kind == "supervisor" then
      print_tree(supervisor:child(child.name), indent .. "   ")
    end
  end
end

-- ------------------------------------------------------------------------------------------

shop:start()
local customers = {}
for i = 1, CUSTOMERS do
  customers[i] = titan.go(buy, shop:child "tills")
end
for _ = 1, SECONDS * 1000 // EVERY_MS do
  titan.sleep(EVERY_MS)
  shoot()
end
running = false
titan.all(customers)
titan.sleep(1000) -- the last wounds heal

print(string.format("\nshop, after %d seconds under fire:\n", SECONDS))
print_tree(shop, "   ")
print(string.format("\n   %d prices asked, %d lost", served + lost, lost))
shop:stop()
