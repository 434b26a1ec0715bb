-- Which folder is served: the program says.
local config = require('runlog.config')

local M = {}

---@param folder string
---@param done fun(found: { root?: string, exists: boolean, tried: string[], candidates: string[] }?, trouble: string?)
local function ask(folder, done)
  local command = vim.fn.exepath(config.command)
  if command == '' then
    done(nil, ('The program %q is not on PATH.'):format(config.command))
    return
  end
  local ok, trouble = pcall(
    vim.system,
    { command, 'root', '--json' },
    { cwd = folder, text = true },
    vim.schedule_wrap(function(result)
      local decoded, found = pcall(vim.json.decode, result.stdout, { luanil = { object = true } })
      if decoded and type(found) == 'table' then
        done(found)
      else
        done(nil, vim.trim(result.stderr) ~= '' and vim.trim(result.stderr) or 'It does not say which folder it serves.')
      end
    end)
  )
  if not ok then
    done(nil, tostring(trouble))
  end
end

---The root of a folder; where there are several, all of them.
---@param folder string
---@param chosen boolean whether somebody named the folder: then it is the root itself if it holds none
---@param done fun(roots: runlog.Root[], trouble: string?)
function M.find(folder, chosen, done)
  folder = vim.fs.normalize(vim.fn.fnamemodify(folder, ':p')):gsub('(.)/$', '%1')
  ask(folder, function(found, trouble)
    if not found then
      done({ { folder = folder, path = folder .. '/projects', given = false } }, trouble)
    elseif found.root and (found.exists or not chosen) then
      done({ { folder = folder, path = found.root, given = found.exists, tried = found.tried } })
    elseif found.root then
      done({ { folder = folder, path = folder, given = true } })
    else
      local roots = {}
      for _, path in ipairs(found.candidates) do
        roots[#roots + 1] = { folder = folder, path = path, given = true }
      end
      done(roots)
    end
  end)
end

return M
