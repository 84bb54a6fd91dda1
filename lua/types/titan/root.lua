---@meta _

--- What a module can be asked for; equal to nothing else.
---@class titan.Token

--- What titan.tokens has.
---@class titan.Tokens
--- The complete config: titan.Config.
---@field CONFIG titan.Token
--- The manager: titan.Manager.
---@field MANAGER titan.Token
--- What knows the processes: discover, get_process_info, get_all_processes.
---@field REGISTRY titan.Token
--- What spawns: titan.Spawner.
---@field SPAWNER titan.Token
--- What they have done and what they use: get_metrics.
---@field METRICS titan.Token
--- How they are: health.
---@field HEALTH titan.Token

--- What a program is made of, by tokens, so that a test can put something else in its place.
---@class titan.Module
local Module = {}

--- The value of a token, made on first use. May wait, when a factory does.
---
--- Raises `invalid_config`, or with the code of an error that a factory raised.
---@param token titan.Token
---@return any
function Module:get(token) end

--- Puts a value in the place of what the token stands for; a function is a factory, which gets the
--- module, may wait, and returns the value.
---
--- Raises `invalid_config` once it has been used.
---@param token titan.Token
---@param given any
---@return titan.Module self
function Module:override(token, given) end

--- Options of titan.for_root_async: use_factory, use_existing or both.
---@class titan.root.AsyncOptions
--- Gets the values of the tokens in `inject`, may wait, and returns the config.
---@field use_factory? fun(...): titan.manager.Config
--- What use_factory gets.
---@field inject? titan.Token[]
--- Where they come from, and what this module has unless it says otherwise.
---@field use_existing? titan.Module

--- What starts workers for a manager. One of your own, in the place of titan.tokens.SPAWNER, must
--- have `spawn`; other methods of titan.Manager are passed on to it if it has them.
---@class titan.Spawner
--- Called by the manager that is made with it.
---@field attach? fun(self: titan.Spawner, manager: titan.Manager)
local Spawner = {}

--- Starts a worker, as `pm:spawn`.
---@param class titan.ClassGiven
---@param options? titan.spawn.Options
---@return titan.Proxy
function Spawner:spawn(class, options) end

--- Makes a pool, as `pm:create_pool`.
---@param class titan.ClassGiven
---@param options? titan.pool.Options
---@return titan.PoolProxy
function Spawner:create_pool(class, options) end
