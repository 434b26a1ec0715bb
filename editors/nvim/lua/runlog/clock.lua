-- What is done at a time of the clock. A timer alone would be late: it stands still while the machine sleeps.
local M = {
  -- how often the clock is looked at, in milliseconds
  look_every = 30000,
}

---@param time number seconds since 1970
---@param fn fun() called when it is later than that
---@return uv.uv_timer_t
function M.after(time, fn)
  local timer = assert(vim.uv.new_timer())
  local function wait()
    timer:start(math.floor(math.min(M.look_every, (time - os.time() + 1) * 1000)), 0, vim.schedule_wrap(function()
      if timer:is_closing() then
        return
      elseif os.time() > time then
        timer:close()
        fn()
      else
        wait()
      end
    end))
  end
  wait()
  return timer
end

return M
