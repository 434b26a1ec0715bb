local M = {}

---Sets options; not needed.
---@param options? { command?: string, page?: integer, piece?: integer }
function M.setup(options)
  require('runlog.config').set(options)
end

---Lists the runs of a folder, or of the current one. Where several could be meant, it asks.
---@param folder? string
---@param chosen? boolean whether somebody named it, as is assumed of one that is given
function M.open(folder, chosen)
  if chosen == nil then
    chosen = folder ~= nil
  end
  local win = vim.api.nvim_get_current_win()
  local place = vim.fn.fnamemodify(folder or vim.fn.getcwd(), ':p')
  if vim.fn.isdirectory(place) == 0 then
    vim.notify(('runlog: there is no folder %s'):format(place), vim.log.levels.ERROR)
    return
  end
  require('runlog.roots').find(place, chosen, function(roots, trouble)
    local function show(root)
      if root and vim.api.nvim_win_is_valid(win) then
        vim.api.nvim_win_call(win, function()
          require('runlog.list').open(root, trouble)
        end)
      end
    end
    if #roots == 1 then
      show(roots[1])
      return
    end
    vim.ui.select(roots, {
      prompt = 'Which runs?',
      format_item = function(root)
        return vim.fn.fnamemodify(root.path, ':~:.')
      end,
    }, show)
  end)
end

---Asks for a folder and lists its runs.
function M.choose()
  vim.ui.input({ prompt = 'Folder: ', default = vim.fn.getcwd() .. '/', completion = 'dir' }, function(folder)
    if folder and folder ~= '' then
      M.open(folder)
    end
  end)
end

---What today has cost and how many runs are going on, for a statusline. Never waits.
---@return string
function M.statusline()
  return require('runlog.today').text()
end

return M
