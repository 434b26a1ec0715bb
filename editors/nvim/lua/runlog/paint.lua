-- Buffers of lines that change by themselves while somebody reads them: only what differs is written, and every
-- window stays on the line it was on, and scrolled to the line it was scrolled to.
local M = {}

local namespace = vim.api.nvim_create_namespace('runlog')

---@class runlog.Line
---@field key string what it is; no two of a buffer are the same
---@field text string
---@field hl? { [1]: integer, [2]: integer, [3]: string }[] first byte, byte behind the last, group

---@param buf integer
---@param old runlog.Line[]
---@param new runlog.Line[]
---@return boolean whether anything differed
local function write(buf, old, new)
  local function same(a, b)
    return a.key == b.key and a.text == b.text
  end
  local first = 1
  while first <= #old and first <= #new and same(old[first], new[first]) do
    first = first + 1
  end
  local old_last, new_last = #old, #new
  while old_last >= first and new_last >= first and same(old[old_last], new[new_last]) do
    old_last = old_last - 1
    new_last = new_last - 1
  end
  if old_last < first and new_last < first then
    return false
  end
  local texts = {}
  for i = first, new_last do
    texts[#texts + 1] = new[i].text
  end
  vim.bo[buf].modifiable = true
  vim.api.nvim_buf_clear_namespace(buf, namespace, first - 1, old_last)
  vim.api.nvim_buf_set_lines(buf, first - 1, #old == 0 and -1 or old_last, false, texts)
  vim.bo[buf].modifiable = false
  vim.bo[buf].modified = false
  for i = first, new_last do
    for _, hl in ipairs(new[i].hl or {}) do
      vim.api.nvim_buf_set_extmark(buf, namespace, i - 1, hl[1], { end_col = hl[2], hl_group = hl[3], strict = false })
    end
  end
  return true
end

---@param line runlog.Line?
---@return boolean whether it is no run's, but the list's own
function M.is_said(line)
  return line == nil or line.key:byte() == 10
end

---@param buf integer
---@param old runlog.Line[] what is there
---@param new runlog.Line[]
---@return boolean whether anything differed
function M.paint(buf, old, new)
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
  if not write(buf, old, new) then
    return false
  end
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
