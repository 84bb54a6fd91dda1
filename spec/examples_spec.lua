--- The examples run as they are printed.

local expect = require "support.expect"
local luv = require "luv"
local proc = require "support.proc"
local titan = require "titan"

local function run_example(...)
  local path, args = ..., { select(2, ...) }
  local program = proc.start(os.getenv "TITAN_BUILD" .. "/titan", { "run", path,
    table.unpack(args) })
  local code = program:await()
  assert.equal(0, code, program:stderr())
  return program:stdout()
end

-- The modules of an example, as its own script sees them.
local function module(path)
  return dofile("examples/" .. path .. ".lua")
end

local ppm = module "image_worker/ppm"
local scaler = module "image_worker/scaler"

-- A picture of one row of grey pixels.
local function greys(...)
  return { width = select("#", ...), height = 1, pixels = string.char(...):gsub(".", "%0%0%0") }
end

local function read_picture(path)
  return assert(ppm.decode(proc.read(path)))
end

-- The pictures in a folder by their size, such as "48x32".
local function pictures_in(folder)
  local found, count = {}, 0
  for name in luv.fs_scandir_next, assert(luv.fs_scandir(folder)) do
    local picture = read_picture(folder .. "/" .. name)
    found[picture.width .. "x" .. picture.height], count = picture, count + 1
  end
  return found, count
end

-- The mean of a square of `side` pixels: what it is to become when the picture is scaled by 1/side.
local function mean_of_square(picture, side, x, y)
  local sums = { side * side // 2, side * side // 2, side * side // 2 }
  for row = y * side, (y + 1) * side - 1 do
    local at = 3 * (row * picture.width + x * side)
    for i, sample in ipairs { picture.pixels:byte(at + 1, at + 3 * side) } do
      local channel = (i - 1) % 3 + 1
      sums[channel] = sums[channel] + sample
    end
  end
  return { sums[1] // (side * side), sums[2] // (side * side), sums[3] // (side * side) }
end

local function assert_scaled(name, side, picture)
  local source = read_picture("examples/image_worker/pictures/" .. name .. ".ppm")
  for _, at in ipairs { { 0, 0 }, { 7, 5 }, { picture.width - 1, picture.height - 1 } } do
    local first = 3 * (at[2] * picture.width + at[1]) + 1
    assert.same(mean_of_square(source, side, at[1], at[2]),
      { picture.pixels:byte(first, first + 2) })
  end
end

describe("the example", function()
  it("wordcount counts, and shows a crash", function()
    titan.run(function()
      local said = run_example("examples/wordcount/app.lua", "README.md", "CHANGELOG.md")
      expect.part({ "2 files", "killing counter-1", "its caller got: worker_lost" }, said)
    end)
  end)

  it("supervised heals, and loses no call", function()
    titan.run(function()
      local said = run_example("examples/supervised/app.lua", "2")
      expect.part({ "+- ledger * is up", "x was killed by SIGKILL", "* is back, life 2",
        "shop, after 2 seconds under fire", "ledger      process    running",
        "dispatch    supervisor running", "tills       pool       running", ", 0 lost" }, said)
    end)
  end)

  it("resilient_client always has an answer", function()
    titan.run(function()
      local said = run_example("examples/resilient_client/app.lua")
      expect.part({ "is well", "today's rate", "is shaky", "10 EUR are 15.00: today's rate",
        "does not answer", "yesterday's rate, since timeout",
        "yesterday's rate, since circuit_open",
        "is found out", "yesterday's rate, since circuit_open", "today's rate", "today's rate",
        "4 got today's rate", "4 got yesterday's rate, since overloaded" }, said)
    end)
  end)

  it("streaming takes a file line by line, and not all of it", function()
    titan.run(function()
      local said = run_example("examples/streaming/app.lua", "5")
      expect.part({ "a file of 5 MiB, ", "all of it: ", "a slow reader at line 100: the worker has "
        .. "read ", " 1 file open", "out of the loop: 0 files open", "taken here: ",
        "no such file: remote_error" }, said)
      local ahead = tonumber(said:match "has read ([%d.]+) MiB")
      assert(ahead < 4.8, ahead)
      local lines = said:match "a file of 5 MiB, (%d+) lines"
      expect.part({ "all of it: " .. lines, "taken here: " .. lines .. " lines",
        "meanwhile: " .. lines .. "\n" }, said)
    end)
  end)

  it("image_worker resizes pictures, each once, and leaves no copy unwritten", function()
    titan.run(function()
      local folder = proc.directory()
      local said = run_example("examples/image_worker/app.lua", folder)
      expect.part({ "nine resized, in", "the same again, which are known, in",
        "spheres         144x96     96x64     18445", "24x24      1741",
        "half a file  validation_failed: args[1]: 144 x 96 pixels",
        "no picture   validation_failed: args[1]: it does not begin with P6",
        "no width     validation_failed: args[2]: expected integer in 1..4096",
        "9 pictures made", "9 are there now" }, said)
      local found, count = pictures_in(folder)
      assert.equal(9, count)
      assert_scaled("spheres", 3, found["48x32"])
      assert_scaled("zone_plate", 4, found["24x24"])
      assert.equal(read_picture("examples/image_worker/pictures/zone_plate.ppm").pixels,
        found["96x96"].pixels)
      proc.remove(folder)
    end)
  end)

  it("isolation has the same worker in three", function()
    titan.run(function()
      local said = run_example("examples/isolation/app.lua", "50")
      local parts = {}
      for _, kind in ipairs { "process  another", "worker   this", "thread   this" } do
        parts[#parts + 1] = kind .. " process; starts in "
        parts[#parts + 1] = "halved where it lies: its first pixels were 0 1 2 3, now 0 2 4 6"
        parts[#parts + 1] = "a loop without end: timeout; the worker lives, "
          .. "and is asked for the 2. "
      end
      expect.part(parts, said)
    end)
  end)
end)

describe("the scaler of image_worker", function()
  it("takes the mean of what a pixel covers", function()
    assert.same(greys(10, 40), scaler.resize(greys(0, 20, 30, 50), 2, 1))
    assert.same(greys(30, 90), scaler.resize(greys(0, 90, 90), 2, 1)) -- half of the middle each
    assert.same(greys(1), scaler.resize(greys(0, 1), 1)) -- rounded
    assert.same(greys(5, 5, 200, 200), scaler.resize(greys(5, 200), 4, 1))
  end)

  it("keeps red, green and blue apart, rows in order, and proportions", function()
    local two = {
      width = 2, height = 2, pixels = "\255\0\0" .. "\0\255\0" .. "\0\0\255" .. "\9\8\7",
    }
    assert.same(two, scaler.resize(two, 2))
    assert.same({ width = 1, height = 1, pixels = "\66\66\66" }, scaler.resize(two, 1))
    local tall = scaler.resize(two, 1, 2)
    assert.same({ width = 1, height = 2, pixels = "\128\128\0" .. "\5\4\131" }, tall)
    assert.equal(1, scaler.resize(greys(1, 2, 3, 4), 1).height)
  end)

  it("reads and writes PPM, and says what is wrong with a file", function()
    local picture = greys(1, 2)
    assert.same(picture, ppm.decode(ppm.encode(picture)))
    assert.same(picture, ppm.decode("P6 # two\n2\n#pixels\n1 255\t" .. picture.pixels))
    for bytes, why in pairs {
      ["P5 1 1 255\n0"] = "it does not begin with P6, as a PPM file does",
      ["P62 1 255\n123123"] = "its header has no width, height and maximum",
      ["P6 1"] = "its header has no width, height and maximum",
      ["P6 1 0 255\n"] = "its header has no width, height and maximum",
      ["P6 1 1 65535\n"] = "its samples go up to 65535; 255 is read here",
      ["P6 2 1 255\n123"] = "2 x 1 pixels are 6 bytes, and it has 3",
    } do
      assert.same({ nil, why }, { ppm.decode(bytes) })
    end
  end)

  it("names pictures by FNV-1a", function()
    local hash = module "image_worker/hash"
    assert.equal("cbf29ce484222325", hash "")
    assert.equal("85944171f73967e8", hash "foobar")
  end)
end)

-- The Lua blocks of a document that begin with the name of a file, as those files.
local function files_of(document, folder)
  local file <close> = assert(io.open(document))
  for block in file:read("a"):gmatch "```lua\n(%-%- [%w_]+%.lua.-)```" do
    local out <close> = assert(io.open(folder .. "/" .. block:match "[%w_]+%.lua", "w"))
    out:write(block)
  end
end

describe("the README", function()
  it("prints what its worker and its script do", function()
    local folder = assert(luv.fs_mkdtemp "/tmp/titan-readme-XXXXXX")
    local _folder <close> = setmetatable({}, { __close = function()
      os.remove(folder .. "/app.lua")
      os.remove(folder .. "/image_worker.lua")
      os.remove(folder)
    end })
    files_of("README.md", folder)
    titan.run(function()
      expect.part({ "2317\n2317\n", "expected integer in 1..4096, got 0", "did you mean resize?",
        "\n2\t2" }, run_example(folder .. "/app.lua"))
    end)
  end)
end)
