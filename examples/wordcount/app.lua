-- Counts words with several workers at once, then kills one and reads what it was doing.
--
-- usage: titan run app.lua [FILE...]     (default: this repository's own text)
local titan = require "titan"
local files = require "files"

local WORKERS <const> = 4

local pm = titan.manager()

-- Adds what one file holds to the totals.
local function add(total, lines, words, times)
  total.lines, total.words = total.lines + lines, total.words + words
  for word, n in pairs(times) do
    total.times[word] = (total.times[word] or 0) + n
  end
end

-- Each worker takes the next file as soon as it is done with the last one.
local function count_all(paths)
  local total, next_file, tasks = { lines = 0, words = 0, times = {} }, 1, {}
  for i = 1, WORKERS do
    tasks[i] = titan.go(function()
      local worker = pm:spawn("counter", { name = "counter-" .. i })
      while next_file <= #paths do
        local path = paths[next_file]
        next_file = next_file + 1
        add(total, worker:count(path))
      end
    end)
  end
  titan.all(tasks)
  return total
end

local function print_table(total, paths)
  local words = {}
  for word in pairs(total.times) do
    words[#words + 1] = word
  end
  table.sort(words, function(a, b)
    return total.times[a] > total.times[b] or total.times[a] == total.times[b] and a < b
  end)
  print(string.format("%d files, %d lines, %d words, %d different\n", #paths, total.lines,
    total.words, #words))
  for i = 1, math.min(8, #words) do
    local times = total.times[words[i]]
    print(string.format("  %-12s %7d %5.1f %%", words[i], times, 100 * times / total.words))
  end
end

-- What Titan tells of a worker that dies in the middle of a call.
local function kill_one()
  local victim = pm:discover "counter-1"
  pm:on("process:crash", print)
  pm:on("log", function(entry)
    if entry.name == "counter-1" and entry.stream == "stderr" then
      print "\nkilling counter-1 with SIGKILL, on purpose"
      pm:kill "counter-1"
    end
  end)
  local ok, err = pcall(victim.ponder, victim)
  print(string.format("its caller got: %s\n", ok and "an answer?" or tostring(err)))
end

local paths = #arg > 0 and arg or files.of_this_repository()
print_table(count_all(paths), paths)
kill_one()
