-- Resizes the pictures beside this file with two workers, and says what there is to say about it.
--
-- usage: titan run app.lua [FOLDER [COLLECTOR]]
--   FOLDER     where the results go; default: a new one for temporary files
--   COLLECTOR  where spans are sent, such as http://127.0.0.1:4318/v1/traces; default: nowhere
local luv = require "luv"
local titan = require "titan"

local NAMES <const> = { "spheres", "seahorse", "zone_plate" }
local WIDTHS <const> = { 96, 48, 24 }
local WORKERS <const> = 2

local here <const> = arg[0]:match "^(.*)/" or "."
local folder = arg[1] and assert(luv.fs_realpath(arg[1]))
  or assert(luv.fs_mkdtemp(luv.os_tmpdir() .. "/pictures-XXXXXX"))

local function say(what, ...)
  print(string.format(what, ...))
end

local function read(name)
  local file = assert(io.open(here .. "/pictures/" .. name .. ".ppm", "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

local pm = titan.manager {
  monitoring = { tracing = arg[2] and { endpoint = arg[2], service_name = "images" } or false },
}

local app = pm:create_supervisor(titan.supervisor {
  children = {
    {
      name = "images", pool = "image_worker", critical = true,
      options = { size = WORKERS, spawn_options = { options = { folder = folder } } },
    },
  },
})
app:start()
local images = app:child "images"

-- Calls `fn` for every picture and width, all at once.
local function for_each(fn)
  local tasks = {}
  for _, name in ipairs(NAMES) do
    local bytes = read(name)
    for _, width in ipairs(WIDTHS) do
      tasks[#tasks + 1] = titan.go(fn, name, bytes, width)
    end
  end
  return titan.all(tasks)
end

-- Runs `fn` and says how long it took.
local function timed(what, fn, ...)
  local started = luv.hrtime()
  local results = titan.span(what, fn, ...)
  say("%s, in %.0f ms", what, (luv.hrtime() - started) / 1e6)
  return results
end

local function resized(name, bytes, width)
  local output, height = images:resize(bytes, width)
  return string.format("   %-12s %9s %9s %9d", name, bytes:match "%d+ %d+":gsub(" ", "x"),
    width .. "x" .. height, #output)
end

local function print_refusal(what, ...)
  local _, err = pcall(images.resize, images, ...)
  local message = err.message:gsub(", got .*", "") -- which would be bytes of a picture
  say("   %-12s %s: %s", what, err.code, message)
end

-- What the workers say of themselves, and what they counted: `made` are the runs of the method, and
-- `answered` all calls, those that got what was known as well. Returns how many pictures were made,
-- and how many of those wait to be written.
local function print_workers()
  say("\n   %-12s %9s %9s %9s %9s %9s", "worker", "health", "waiting", "made", "answered",
    "longest")
  local made, waiting = 0, 0
  for i = 1, WORKERS do
    local worker = pm:discover("images-" .. i)
    local health, metrics = worker:__health(), worker:__metrics()
    say("   images-%-5d %9s %9d %9d %9d %6.0f ms", i, health.status, health.details.queue_depth,
      health.details.made, metrics.counters["images.resized"],
      metrics.histograms["images.resize.ms"].max)
    made, waiting = made + health.details.made, waiting + health.details.queue_depth
  end
  return made, waiting
end

local function count_files()
  local count, scan = 0, luv.fs_scandir(folder)
  while luv.fs_scandir_next(scan) do
    count = count + 1
  end
  return count
end

local rows = timed("nine resized", for_each, resized)
timed("the same again, which are known", for_each, resized)
say("\n   %-12s %9s %9s %9s", "picture", "from", "to", "bytes")
print(table.concat(rows, "\n"))

print "\nrefused before anything is done:"
local bytes = read "spheres"
print_refusal("half a file", bytes:sub(1, #bytes // 2), 48)
print_refusal("no picture", "GIF89a", 48)
print_refusal("no width", bytes, 0)

local made, waiting = print_workers()
say("\n%d pictures made, %d of them written to %s", made, made - waiting, folder)
app:stop()
say("%d are there now that the workers have been stopped", count_files())
