-- Buffers of lines that change by themselves while somebody reads them: only what differs is written, and every
-- window stays on the line it was on, and scrolled to the line it was scrolled to.
local M = {}

local namespace = vim.api.nvim_create_namespace('runlog')

---@class runlog.Line
---@field key string what it is; no two of a buffer are the same
---@field text string
---@field hl? { [1]: integer, [2]: integer, [3]: string }[] first byte, byte behind the last, group

---@class runlog.Hunk
---@field old_first integer
---@field old_count integer
---@field new_first integer
---@field new_count integer

---What is to be written for `old` to become `new`, each as few lines as their keys allow.
---@param old runlog.Line[]
---@param new runlog.Line[]
---@return runlog.Hunk[]
local function differences(old, new)
  local was = {}
  for _, line in ipairs(old) do
    was[line.key] = true
  end
  local hunks = {}
  local hunk
  local i, j = 1, 1
  while old[i] or new[j] do
    local before, after = old[i], new[j]
    if before and after and before.key == after.key and before.text == after.text then
      hunk = nil
      i, j = i + 1, j + 1
    else
      if not hunk then
        hunk = { old_first = i, old_count = 0, new_first = j, new_count = 0 }
        hunks[#hunks + 1] = hunk
      end
      if after and not (before and was[after.key]) then
        hunk.new_count = hunk.new_count + 1
        j = j + 1
      else
        -- gone, changed, or to come again further down
        was[before.key] = nil
        hunk.old_count = hunk.old_count + 1
        i = i + 1
      end
    end
  end
  return hunks
end

---@param buf integer
---@param old runlog.Line[]
---@param new runlog.Line[]
---@param hunks runlog.Hunk[]
local function write(buf, old, new, hunks)
  vim.bo[buf].modifiable = true
  -- from the top, so that what is above is already as it will be where folds are asked for
  for _, hunk in ipairs(hunks) do
    local texts = {}
    for i = hunk.new_first, hunk.new_first + hunk.new_count - 1 do
      texts[#texts + 1] = new[i].text
    end
    local first, last = hunk.new_first - 1, hunk.new_first - 1 + hunk.old_count
    vim.api.nvim_buf_clear_namespace(buf, namespace, first, last)
    -- an empty buffer has a line all the same
    vim.api.nvim_buf_set_lines(buf, first, #old == 0 and -1 or last, false, texts)
    for i, _ in ipairs(texts) do
      for _, hl in ipairs(new[hunk.new_first + i - 1].hl or {}) do
        vim.api.nvim_buf_set_extmark(buf, namespace, first + i - 1, hl[1], {
          end_col = hl[2],
          hl_group = hl[3],
          strict = false,
        })
      end
    end
  end
  vim.bo[buf].modifiable = false
  vim.bo[buf].modified = false
end

---@param line runlog.Line?
---@return boolean whether it is no run's, but the list's own
function M.is_said(line)
  return line == nil or line.key:byte() == 10
end

---@type table<integer, true> buffers to be painted once nothing is selected in them any more
local awaiting = {}

---@param mode string
local function selects(mode)
  return mode:find('^[vV\22sS\19]') ~= nil
end

---Whether something is being selected there. Then nothing is to be written: the end of the selection that the cursor
---is not at stays on its line number, and so on another line.
---@param buf integer
---@param later fun() called once nothing is
function M.selecting(buf, later)
  if buf ~= vim.api.nvim_get_current_buf() or not selects(vim.api.nvim_get_mode().mode) then
    return false
  end
  if not awaiting[buf] then
    awaiting[buf] = true
    vim.api.nvim_create_autocmd('ModeChanged', {
      callback = function()
        if not selects(vim.v.event.new_mode) then
          awaiting[buf] = nil
          vim.schedule(later) -- after what is done to the selection
          return true
        end
      end,
    })
  end
  return true
end

---@param buf integer
---@param old runlog.Line[] what is there
---@param new runlog.Line[]
---@return boolean whether anything differed
function M.paint(buf, old, new)
  local hunks = differences(old, new)
  if #hunks == 0 then
    return false
  end
  local at = {}
  for i, line in ipairs(new) do
    at[line.key] = i
  end
  ---the same line, or if it is gone the one that came after it; what is only said stays below what it is below
  local function moved(lnum)
    while lnum > 1 and M.is_said(old[lnum]) do
      lnum = lnum - 1
      if not M.is_said(old[lnum]) and at[old[lnum].key] then
        return math.min(#new, at[old[lnum].key] + 1)
      end
    end
    if M.is_said(old[lnum]) then
      return 1
    end
    for i = lnum, #old do
      if at[old[i].key] then
        return at[old[i].key]
      end
    end
    return #new
  end
  local views = {}
  for _, win in ipairs(vim.fn.win_findbuf(buf)) do
    vim.api.nvim_win_call(win, function()
      views[win] = vim.fn.winsaveview()
    end)
  end
  write(buf, old, new, hunks)
  for win, view in pairs(views) do
    local following = view.topline == 1 and view.lnum == 1 and win ~= vim.api.nvim_get_current_win()
    if #old > 0 and not following then
      view.lnum = math.max(1, moved(view.lnum))
      -- what fits is shown whole
      view.topline = #new <= vim.api.nvim_win_get_height(win) and 1 or math.max(1, moved(view.topline))
    end
    vim.api.nvim_win_call(win, function()
      vim.fn.winrestview(view)
    end)
  end
  return true
end

return M
