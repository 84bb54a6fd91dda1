-- What is tried here is tried in a worker of its own each time, and where it is refused, the same
-- works in one without a sandbox: `free`.

local core = require "titan.core"
local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local security = require "titan.config.security"
local titan = require "titan"

local CLASS <const> = "workers.sandboxed"
local DENIED <const> = "Permission denied"
local NOT_PERMITTED <const> = "[Oo]peration not permitted"

local is_root <const> = luv.getuid() == 0

---@param pm titan.Manager
---@param permissions table
---@param more table? further keys of security
---@return table worker
local function sandboxed(pm, permissions, more)
  local given = { permissions = permissions }
  for key, value in pairs(more or {}) do
    given[key] = value
  end
  return pm:spawn(CLASS, { security = given })
end

---@param worker table
---@param code string
local function works(worker, code, ...)
  local ok, said = worker:try(code, ...)
  assert(ok, string.format("%s\nfailed: %s", code, said))
  return said
end

---@param worker table
---@param why string a pattern
---@param code string
local function refused(worker, why, code, ...)
  local ok, said = worker:try(code, ...)
  assert(not ok, string.format("%s\nworked: %s", code, said))
  assert(said:find(why), string.format("%s\nfailed with %q, expected %q", code, said, why))
end

-- Each of the codes fails in one of the workers and works in the other.
---@param bound table
---@param free table
---@param why string a pattern
---@param codes string[]
local function only_when_free(bound, free, why, codes, ...)
  for _, code in ipairs(codes) do
    refused(bound, why, code, ...)
    works(free, code, ...)
  end
end

---@param fn fun(directory: string)
local function in_directory(fn)
  local directory = assert(luv.fs_mkdtemp "/tmp/titan-sandbox-XXXXXX")
  luv.fs_chmod(directory, tonumber("755", 8))
  local ok, err = xpcall(fn, debug.traceback, directory)
  os.execute("rm -rf " .. directory)
  assert(ok, err)
end

---@param path string
---@param content string
local function write(path, content)
  local file = assert(io.open(path, "w"))
  file:write(content)
  file:close()
end

describe("permissions.filesystem", function()
  local READING <const> = {
    [[return io.open(... .. "/file")]],
    [[return loadfile(... .. "/file")]],
    [[return require("luv").fs_open(... .. "/file", "r", 0)]],
    [[return require("luv").fs_scandir(...)]],
    [[return require("luv").fs_copyfile(... .. "/file", ... .. "/copy")]],
    [[return io.lines "/proc/self/maps"]],
  }
  local WRITING <const> = {
    [[return io.open(... .. "/made", "w")]],
    [[return io.open(... .. "/file", "a")]],
    [[return io.open(... .. "/file", "r+")]],
    [[return require("luv").fs_open(... .. "/file", require("luv").constants.O_TRUNC, 0)]],
    [[return require("luv").fs_mkdir(... .. "/directory", 493)]],
    [[return require("luv").fs_symlink("file", ... .. "/symlink")]],
    [[return require("luv").fs_chmod(... .. "/file", 511)]],
    [[return require("luv").fs_utime(... .. "/file", 1, 1)]],
    [[return require("luv").fs_chown(... .. "/file", -1, -1)]],
    [[return os.rename(... .. "/one", ... .. "/other")]],
    [[return os.rename(... .. "/other", ... .. "/below/moved")]],
    [[return require("luv").fs_link(... .. "/file", ... .. "/below/link")]],
    [[return os.remove(... .. "/below/moved")]],
    [[return require("luv").fs_rmdir(... .. "/directory")]],
  }
  local REFUSED <const> = "[Pp]ermi"

  ---@param directory string
  local function fill(directory)
    write(directory .. "/file", "return 'secret'")
    write(directory .. "/one", "")
    luv.fs_mkdir(directory .. "/below", tonumber("755", 8))
  end

  it('"none" opens nothing but modules', managed(function(pm)
    in_directory(function(directory)
      fill(directory)
      local bound, free = sandboxed(pm, { filesystem = "none" }), sandboxed(pm, {})
      only_when_free(bound, free, REFUSED, READING, directory)
      only_when_free(bound, free, REFUSED, WRITING, directory)
      works(bound, [[return require "support.system"]])
      works(bound, [[return require "cjson"]])
      works(bound, [[return io.open("/dev/urandom"):read(8)]])
      works(bound, [[return io.open("/dev/null", "w"):write "x"]])
    end)
  end))

  it('"read-only" changes nothing', managed(function(pm)
    in_directory(function(directory)
      fill(directory)
      local bound, free = sandboxed(pm, { filesystem = "read-only" }), sandboxed(pm, {})
      for _, code in ipairs(READING) do
        if not code:find "copyfile" then
          works(bound, code, directory)
        end
      end
      only_when_free(bound, free, REFUSED, WRITING, directory)
      works(bound, [[return io.open("/dev/null", "w"):write "x"]])
    end)
  end))

  it("does not hinder threads, output or the end", managed(function(pm)
    local bound = sandboxed(pm,
      { filesystem = "none", network = false, spawn = false, env = false })
    assert.equal(20, bound:crowd(20))
    bound:say "still there"
    local id = bound.__id()
    assert.is_true(pm:stop_process(id))
    local info = pm:get_process_info(id)
    assert.equal("stopped", info.status)
    assert.equal("still there\nleaving\n", info.stdout_tail)
    assert.equal("", info.stderr_tail)
  end))
end)

describe("permissions.network", function()
  local SOCKETS <const> = {
    [[return require("luv").new_tcp(2)]],
    [[return require("luv").new_udp(2)]],
    [[local tcp = require("luv").new_tcp()
      return tcp:bind("127.0.0.1", 0)]],
    [[local pipe = require("luv").new_pipe()
      return pipe:bind(os.tmpname() .. ".socket")]],
    [[return require("luv").socketpair("dgram")]],
  }

  it("false refuses sockets", managed(function(pm)
    local bound, free = sandboxed(pm, { network = false }), sandboxed(pm, {})
    only_when_free(bound, free, NOT_PERMITTED, SOCKETS)
    works(bound, [[return require("luv").socketpair("stream")]])
    works(bound, [[return io.open("/etc/passwd")]])
    works(bound, [[return os.execute "true"]])
  end))

  it("false refuses connections", managed(function(pm)
    local server = luv.new_tcp()
    server:bind("127.0.0.1", 0)
    server:listen(1, function() end)
    local port = server:getsockname().port
    local connect = [[
      local luv, said = require "luv", nil
      local tcp = luv.new_tcp()
      local ok, why = tcp:connect("127.0.0.1", ..., function(err) said = err or "connected" end)
      if not ok then
        return nil, why
      end
      while not said do
        require("titan").sleep(1)
      end
      return said == "connected", said]]
    only_when_free(sandboxed(pm, { network = false }), sandboxed(pm, {}), "EPERM", { connect },
      port)
    server:close()
  end))
end)

describe("permissions.spawn", function()
  it("false refuses processes", managed(function(pm)
    local bound, free = sandboxed(pm, { spawn = false }), sandboxed(pm, {})
    only_when_free(bound, free, NOT_PERMITTED, {
      [[return os.execute "true"]],
      [[return io.popen "true"]],
      [[return require("luv").spawn("/bin/true", {}, function() end)]],
    })
    assert.equal(8, bound:crowd(8))
    works(bound, [[return os.execute() ~= nil]])
  end))

  it("true lets a worker end what it has started", managed(function(pm)
    works(sandboxed(pm, {}), [[
      local luv, how = require "luv", nil
      local child = assert(luv.spawn("/bin/sleep", { args = { "60" } }, function(_, signal)
        how = signal
      end))
      assert(child:kill "sigterm")
      while not how do
        require("titan").sleep(1)
      end
      return how == 15]])
  end))
end)

describe("permissions.env", function()
  local WAS <const> = os.getenv "TITAN_SPEC_SECRET"

  before_each(function()
    core.setenv("TITAN_SPEC_SECRET", "of the manager")
    core.setenv("TITAN_SPEC_OPEN", "to all")
  end)

  after_each(function()
    core.setenv("TITAN_SPEC_SECRET", WAS)
    core.setenv("TITAN_SPEC_OPEN", nil)
  end)

  local function spawn(pm, env)
    return pm:spawn(CLASS, {
      env = { TITAN_SPEC_OWN = "of the spawn" }, security = { permissions = { env = env } },
    })
  end

  local SECRET <const> = [[return os.getenv "TITAN_SPEC_SECRET", "none"]]
  local INITIAL <const> = [[
    local initial = io.open("/proc/self/environ"):read "a"
    return initial:find "TITAN_SPEC_SECRET", "gone"]]

  it("false leaves what the spawn has set", managed(function(pm)
    local bound, free = spawn(pm, false), spawn(pm)
    assert.equal("of the spawn", works(bound, [[return os.getenv "TITAN_SPEC_OWN"]]))
    assert.is_nil(bound:env_when_loaded())
    assert.equal("of the manager", free:env_when_loaded())
    only_when_free(bound, free, "none", { SECRET })
    only_when_free(bound, free, "gone", { INITIAL })
    assert.equal("TITAN_SPEC_OWN", works(bound, [[
      local names = {}
      for name in pairs(require("luv").os_environ()) do
        names[#names + 1] = name
      end
      return table.concat(names, " ")]]))
  end))

  it("may be a list of names", managed(function(pm)
    local bound = spawn(pm, { "TITAN_SPEC_OPEN", "TITAN_SPEC_NOT_SET" })
    assert.equal("to all", works(bound, [[return os.getenv "TITAN_SPEC_OPEN"]]))
    assert.equal("of the spawn", works(bound, [[return os.getenv "TITAN_SPEC_OWN"]]))
    refused(bound, "none", SECRET)
  end))

  it("false refuses changes", managed(function(pm)
    only_when_free(spawn(pm, false), spawn(pm), "the environment of this worker cannot be changed",
      {
        [[require("luv").os_setenv("TITAN_SPEC_A", "b") return true]],
        [[require("luv").os_unsetenv("TITAN_SPEC_OWN") return true]],
        [[require("titan.core").setenv("TITAN_SPEC_A", "b") return true]],
      })
  end))
end)

describe("A sandbox", function()
  it("keeps a worker out of other processes", managed(function(pm)
    local bound, free = sandboxed(pm, {}), pm:spawn(CLASS)
    local pid, other = math.tointeger(luv.os_getpid()), pm:get_process_info(free.__id()).pid
    for _, target in ipairs { pid, other } do
      only_when_free(bound, free, "[Pp]ermi", {
        [[return require("luv").kill(..., 0) == 0 or nil, "not permitted"]],
        [[return io.open("/proc/" .. ... .. "/environ")]],
        [[return io.open("/proc/" .. ... .. "/mem")]],
        [[return io.open("/proc/" .. ... .. "/mem", "r+")]],
        [[return io.open("/proc/" .. ... .. "/maps")]],
        [[return require("luv").fs_readlink("/proc/" .. ... .. "/fd/2")]],
        [[return require("luv").fs_readlink("/proc/" .. ... .. "/cwd")]],
      }, target)
    end
  end))

  it("keeps a worker from writing to its own memory", managed(function(pm)
    local code = [[return io.open("/proc/self/mem", "r+")]]
    only_when_free(sandboxed(pm, {}), pm:spawn(CLASS), DENIED, { code })
    refused(sandboxed(pm, { filesystem = "read-only" }), DENIED, code)
    refused(sandboxed(pm, { filesystem = "none" }), DENIED, code)
  end))

  it("keeps a worker from the limits and the priority of others", managed(function(pm)
    only_when_free(sandboxed(pm, { spawn = false }), pm:spawn(CLASS), "EPERM", {
      [[return require("luv").os_setpriority(..., require("luv").os_getpriority(...))]],
    }, luv.os_getpid())
  end))

  it("leaves files to be written, moved and run", managed(function(pm)
    in_directory(function(directory)
      local bound = sandboxed(pm, {})
      works(bound, [[return os.execute("echo true > " .. ... .. "/script")]], directory)
      works(bound, [[return os.execute("mkdir " .. ... .. "/a")]], directory)
      works(bound, [[return os.rename(... .. "/script", ... .. "/a/script")]], directory)
      works(bound, [[return os.execute("sh " .. ... .. "/a/script")]], directory)
    end)
  end))

  it("comes before the class, which may be broken", managed(function(pm)
    in_directory(function(directory)
      write(directory .. "/broken.lua", 'error(select(2, io.open "/etc/passwd"))')
      local err = expect.error("spawn_failed", pm.spawn, pm, directory .. "/broken.lua",
        { security = { permissions = { filesystem = "none" } } })
      expect.part("/etc/passwd: Permission denied", err.message)
    end)
  end))

  it("is seen in get_process_info", managed(function(pm)
    local worker = sandboxed(pm, { network = false, env = { "HOME" } },
      { allowed_modules = { "luv" } })
    local found = pm:get_process_info(worker.__id()).sandbox
    assert.is_true(found.seccomp)
    assert.is_true(found.landlock >= 3)
    assert.same({ network = false, filesystem = "read-write", env = { "HOME" }, spawn = true },
      found.permissions)
    assert.same({ "luv" }, found.allowed_modules)
    assert.is_nil(found.missing)
    assert.is_nil(pm:get_process_info(pm:spawn(CLASS).__id()).sandbox)
  end))

  it("holds again after a restart", managed({ restart_policy = { delay = 0 } }, function(pm)
    local worker = sandboxed(pm, { filesystem = "none" })
    local again = titan.go(function()
      local come
      pm:on("process:restart", function()
        come = true
      end)
      while not come do
        titan.sleep(1)
      end
    end)
    titan.sleep(0)
    pm:kill(worker.__id())
    again:await()
    refused(worker, DENIED, [[return io.open "/etc/passwd"]])
    assert.is_true(pm:get_process_info(worker.__id()).sandbox.seccomp)
  end))
end)

describe("security", function()
  local OPEN <const> = [[return io.open "/etc/passwd"]]

  it("may be the manager's, over which the spawn's goes",
    managed({ security = { permissions = { filesystem = "none", network = false } } }, function(pm)
      local bound = pm:spawn(CLASS)
      refused(bound, DENIED, OPEN)
      local freer = sandboxed(pm, { filesystem = "read-only" })
      works(freer, OPEN)
      refused(freer, "EPERM", [[return require("luv").new_tcp(2)]])
    end))

  it("may be the class's: known to the manager or not", managed(function(pm)
    in_directory(function(directory)
      write(directory .. "/own.lua", [[
        local titan = require "titan"
        return titan.process {
          security = { permissions = { filesystem = "none" } },
          all_methods_public = true,
          methods = {
            open = function()
              return io.open("/etc/passwd") ~= nil
            end,
          },
        }]])
      local path = directory .. "/own.lua"
      assert.is_false(pm:spawn(path):open())
      assert.is_false(pm:spawn(dofile(path)):open())
      local freer = { security = { permissions = { filesystem = "read-only" } } }
      assert.is_true(pm:spawn(path, freer):open())
      assert.is_true(pm:spawn(dofile(path), freer):open())
    end)
  end))

  it("of a class may only take away when the manager does not know it",
    managed({ security = { permissions = { filesystem = "none" } } }, function(pm)
      in_directory(function(directory)
        write(directory .. "/bold.lua", [[
          local titan = require "titan"
          return titan.process {
            security = { permissions = { filesystem = "read-write" } },
            all_methods_public = true,
            methods = {
              open = function()
                return io.open("/etc/passwd") ~= nil
              end,
            },
          }]])
        assert.is_false(pm:spawn(directory .. "/bold.lua"):open())
        assert.is_true(pm:spawn(dofile(directory .. "/bold.lua")):open())
      end)
    end))

  it("holds for the workers of a pool", managed(function(pm)
    local pool = pm:create_pool(CLASS, { size = 1,
      spawn_options = { security = { permissions = { filesystem = "none" } } } })
    local ok, err = pcall(refused, pool, DENIED, OPEN)
    pm:stop_all(0) -- a pool keeps the run going
    assert(ok, err)
  end))

  it("is merged key by key, lists as a whole", function()
    local merged = security.merged {
      config = { user = "one", allowed_modules = { "a", "b" }, permissions = { network = false } },
      class = { permissions = { env = { "A", "B" }, spawn = false } },
      spawn = { user = "two", allowed_modules = { "c" }, permissions = { env = { "C" } } },
    }
    assert.same({
      user = "two", allowed_modules = { "c" }, best_effort = false,
      permissions = { network = false, filesystem = "read-write", env = { "C" }, spawn = false },
    }, merged)
    assert.is_nil(security.merged {})
    assert.is_nil(security.layers("worker"))
  end)

  it("is for processes", function()
    for isolation, path in pairs { worker = "options.security", thread = "config.security" } do
      local given = { permissions = {} }
      local is_spawn = path == "options.security"
      local err = expect.error("invalid_config", security.layers, isolation,
        not is_spawn and given or nil, nil, is_spawn and given or nil)
      assert.equal(path, err.details.path)
      expect.part('a sandbox needs isolation = "process"', err.message)
    end
  end)

  it("is refused where it is wrong", managed(function(pm)
    for path, given in pairs {
      ["options.security"] = "strict",
      ["options.security.permission"] = { permission = {} },
      ["options.security.permissions.network"] = { permissions = { network = "no" } },
      ["options.security.permissions.filesystem"] = { permissions = { filesystem = "readonly" } },
      ["options.security.permissions.env"] = { permissions = { env = "HOME" } },
      ["options.security.permissions.env[1]"] = { permissions = { env = { "A=B" } } },
      ["options.security.permissions.spwan"] = { permissions = { spwan = false } },
      ["options.security.user"] = { user = "a:b" },
      ["options.security.group"] = { group = -1 },
      ["options.security.allowed_modules[1]"] = { allowed_modules = { "soc*" } },
      ["options.security.best_effort"] = { best_effort = 1 },
    } do
      local err = expect.error("invalid_config", pm.spawn, pm, CLASS, { security = given })
      assert.equal(path, err.details.path)
    end
  end))
end)

describe("security.user", function()
  it("is as whom a worker runs", managed(function(pm)
    if not is_root then
      return pending "only root can become somebody else"
    end
    in_directory(function(directory)
      write(directory .. "/who.lua", [[
        local titan = require "titan"
        return titan.process {
          all_methods_public = true,
          methods = {
            who = function()
              local status = io.open("/proc/self/status"):read "a"
              return status:match "Uid:%s+([^\n]+)", status:match "Gid:%s+([^\n]+)",
                status:match "Groups:%s*([^\n]-)%s*\n", status:match "CapEff:%s*(%x+)"
            end,
          },
        }]])
      local path = directory .. "/who.lua"
      local function who(given)
        return table.concat({ pm:spawn(path, { security = given }):who() }, ";"):gsub("\t", " ")
      end
      local NONE <const> = "0000000000000000"
      assert.equal("1 1 1 1;1 1 1 1;1;" .. NONE, (who { user = "daemon" }))
      assert.equal("1 1 1 1;1 1 1 1;1;" .. NONE, (who { user = 1 }))
      assert.equal("1 1 1 1;7 7 7 7;7;" .. NONE, (who { user = "daemon", group = 7 }))
      assert.equal("65000 65000 65000 65000;7 7 7 7;7;" .. NONE, (who { user = 65000, group = 7 }))
      assert.matches("^0 0 0 0;2 2 2 2;2;", (who { group = "bin" }))
    end)
  end))

  it("has to be known", managed(function(pm)
    for why, given in pairs {
      ['security.user: there is no user "nobody-there"'] = { user = "nobody-there" },
      ['security.group: there is no group "nothing-there"'] = { group = "nothing-there" },
      [is_root and "so that security.group is needed too" or "only root"] = { user = 65000 },
    } do
      expect.part(why, expect.error("spawn_failed", pm.spawn, pm, CLASS,
        { security = given }).message)
    end
  end))
end)

describe("security.allowed_modules", function()
  local WHY <const> = "security%.allowed_modules does not name it"

  local function spawn(pm, ...)
    return pm:spawn(CLASS, { security = { allowed_modules = { ... } } })
  end

  it("is all that require loads", managed(function(pm)
    local bound, free = spawn(pm, "cjson", "support.*"), pm:spawn(CLASS)
    only_when_free(bound, free, WHY, {
      [[return require "luv"]], [[return require "titan.core"]], [[return require "busted"]],
    })
    refused(bound, WHY, [[return require "cjson.util"]])
    refused(bound, WHY, [[return require "supporting"]])
    local ok, said = bound:try [[return require "luv"]]
    assert.is_false(ok)
    expect.part('module "luv" may not be loaded by the class workers.sandboxed', said)
    for _, name in ipairs { "titan", "cjson", "support.system", "string", "os", "_G", "package" } do
      works(bound, "return require " .. string.format("%q", name))
    end
    works(bound, [[return require("cjson").encode { 1 } == "[1]"]])
    works(bound, [[return require "support.system" == require "support.system"]])
    refused(bound, "module 'support.nothing' not found", [[return require "support.nothing"]])
    refused(bound, "string expected, got table", [[return require {}]])
  end))

  it("holds on every way around require", managed(function(pm)
    local bound = spawn(pm, "support.*")
    local free = pm:spawn(CLASS)
    only_when_free(bound, free, "", {
      [[return package.loadlib]],
      [[return package.searchers[2] ("luv")]],
      [[return package.searchers[1] ("luv")]],
      [[return package.loaded["titan.core"] ]],
      [[return debug.getregistry()._LOADED["titan.core"] ]],
      [[return debug.getregistry()._PRELOAD]],
      [[return debug.getupvalue(require, 1)]],
      [[debug.sethook(function() end, "l") debug.sethook() return true]],
      [[return debug.getinfo(require, "f").func]],
      [[return debug.getinfo(1).func]],
      [[return load(string.dump(function() return true end))()]],
      [[return load(string.dump(function() return true end), "x", "b")()]],
      [[return load("return package.loadlib")()]],
      [[return load("return require 'luv'", "=titan.core")()]],
      [[return coroutine.wrap(function() return package.loadlib end)()]],
      [[return require("titan").testing]],
      [[return require("titan").for_root]],
      [[return getmetatable(require "titan").__index]],
      [[return require("titan").manager]],
      [[return getmetatable("").__index]],
    })
    refused(bound, WHY, [[
      string.sub = function() return "support." end
      rawget = function() return "x" end
      return require "luv"]])
    refused(bound, WHY, [[
      package.path, package.cpath = ..., ...
      return require "luv"]], "/tmp/?.lua")
    refused(bound, "not found", [[
      package.path = ...
      return require "support.elsewhere"]], "/tmp/?.lua")
    refused(bound, "", [[
      local found
      package.loaded.spy = nil
      load("require 'support.system'")()
      for level = 1, 20 do
        local info = debug.getinfo(level, "nSf")
        found = found or info and info.func
      end
      return found]])
  end))

  it("leaves tracebacks and the names of functions", managed(function(pm)
    local bound = spawn(pm)
    works(bound, [[return debug.traceback("x"):find "try"]])
    works(bound, [[return debug.getinfo(1, "S").source == "=try"]])
    works(bound, [[return debug.getinfo(1, "l").currentline == 1]])
    works(bound, [[local function named() return debug.getinfo(1, "n").name end
      local name = named() return name == "named"]])
    works(bound, [[return load("x = 1 return x")() == 1 and _G.x == 1]])
  end))

  it("lets luv in, without its threads, whose Lua is another one", managed(function(pm)
    local bound = spawn(pm, "luv")
    works(bound, [[return require("luv").os_getpid()]])
    refused(bound, "nil value", [[return require("luv").new_thread(function() end)]])
    refused(bound, "nil value", [[return require("luv").new_work(print, print)]])
  end))

  it("has to be known before the class is loaded", managed(function(pm)
    in_directory(function(directory)
      write(directory .. "/late.lua", [[
        return require("titan").process {
          security = { allowed_modules = {} }, methods = { m = function() end },
        }]])
      expect.part("say it in the options of spawn", expect.error("invalid_config", pm.spawn, pm,
        directory .. "/late.lua").message)
      pm:spawn(dofile(directory .. "/late.lua"))
    end)
  end))
end)
