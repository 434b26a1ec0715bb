-- Which folder is served: the program says.
local config = require('runlog.config')

local M = {
  -- how long the program may take, in milliseconds
  within = 5000,
}

---@return string why the program cannot be found
function M.missing()
  if not config.command:find('/', 1, true) then
    return ('The program %q is not on PATH.'):format(config.command)
  elseif vim.uv.fs_stat(config.command) then
    return ('%s is not executable.'):format(config.command)
  end
  return ('There is no program %s.'):format(config.command)
end

---@param found any what the program printed
---@return boolean whether it tells a folder, or several
function M.tells(found)
  return type(found) == 'table'
    and (type(found.root) == 'string' or type(found.candidates) == 'table' and type(found.candidates[1]) == 'string')
end

---@param folder string
---@param done fun(found: { root?: string, exists: boolean, tried: string[], candidates: string[] }?, trouble: string?)
local function ask(folder, done)
  local command = vim.fn.exepath(config.command)
  if command == '' then
    done(nil, M.missing())
    return
  end
  local leaving
  local function answer(found, trouble)
    if leaving then
      vim.api.nvim_del_autocmd(leaving)
      leaving = nil
      done(found, trouble)
    end
  end
  local ok, process = pcall(
    vim.system,
    { command, 'root', '--json' },
    { cwd = folder, text = true },
    vim.schedule_wrap(function(result)
      local decoded, found = pcall(vim.json.decode, result.stdout, { luanil = { object = true } })
      if decoded and M.tells(found) then
        answer(found)
      else
        local words = vim.trim(result.stderr .. result.stdout)
        answer(nil, ('%s does not say which folder it serves: %s'):format(command, words))
      end
    end)
  )
  if not ok then
    done(nil, tostring(process))
    return
  end
  leaving = vim.api.nvim_create_autocmd('VimLeavePre', {
    callback = function()
      process:kill('sigkill')
    end,
  })
  vim.defer_fn(function()
    if leaving then
      process:kill('sigkill')
      answer(nil, ('%s does not say which folder it serves: it does not answer.'):format(command))
    end
  end, M.within)
end

---The root of a folder; where there are several, all of them.
---@param folder string
---@param chosen boolean whether somebody named the folder: then it is the root itself if it holds none
---@param done fun(roots: runlog.Root[], trouble: string?)
function M.find(folder, chosen, done)
  -- a dollar in its name is one
  folder = vim.fs.normalize(vim.fn.fnamemodify(folder, ':p'), { expand_env = false }):gsub('(.)/$', '%1')
  local function root(path, given, tried)
    return { folder = folder, chosen = chosen, path = path, given = given, tried = tried }
  end
  ask(folder, function(found, trouble)
    if not found then
      done({ root(folder .. '/projects', false) }, trouble)
    elseif found.root and (found.exists or not chosen) then
      done({ root(found.root, found.exists, found.tried) })
    elseif found.root then
      done({ root(folder, true) })
    else
      done(vim.tbl_map(function(path)
        return root(path, true)
      end, found.candidates))
    end
  end)
end

return M
