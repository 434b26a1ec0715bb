;;; bench.el --- What the list costs while much is saved  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run by bench/run.

;;; Code:

(load (expand-file-name "test/harness.el" (getenv "RUNLOG_PACKAGE")) nil t)

(defconst b-load (expand-file-name "../bench/load.py" (getenv "RUNLOG_PACKAGE")))
(defconst b-seconds 20)
(defconst b-rate 50)
(defvar b-seen (make-hash-table :test #'equal) "When each label was painted.")
(defvar b-paints 0 "How often lines were written.")

(defun b-painted (&rest _)
  "Note which rows are on the screen after a redisplay."
  (cl-incf b-paints)
  (redisplay)
  (let ((now (float-time))
        (window (get-buffer-window (current-buffer) t)))
    (when window
      (save-excursion
        (goto-char (window-start window))
        (while (re-search-forward "bench-[0-9]+-" (window-end window) t)
          (unless (gethash (match-string 0) b-seen)
            (puthash (match-string 0) now b-seen)))))))

(defun b-percentile (values share)
  "Return the SHARE percentile of VALUES."
  (nth (max 0 (1- (ceiling (* share (length values))))) (sort (copy-sequence values) #'<)))

(defun b-load (&rest arguments)
  "Run load.py with ARGUMENTS; return what it says."
  (let ((process (apply #'start-process "load" (generate-new-buffer "load") "python3" b-load
                        arguments)))
    (while (process-live-p process)
      (accept-process-output nil 0.02)
      (redisplay))
    (with-current-buffer (process-buffer process)
      (string-trim (car (split-string (buffer-string) "\n\nProcess"))))))

(defun b-measure (count say)
  "Measure with COUNT runs; SAY prints a line.  Return whether all is well."
  (let* ((root (expand-file-name "projects" (t-folder "work")))
         (out (expand-file-name "saves" t-place))
         (runlog-command t-binary)
         (well t)
         from before latencies list)
    (make-directory root)
    (b-load "make" root (number-to-string count))
    (setq from (float-time))
    (delete-other-windows)
    (let ((default-directory (file-name-directory root)))
      (runlog))
    (t-until "the list" (t-runs) 120)
    (funcall say "first list, the index being built: %.2f s" (- (float-time) from))
    ;; somebody works in another window, and the list follows
    (setq list (current-buffer))
    (select-window (split-window-below -6))
    (switch-to-buffer "*scratch*")
    (sit-for 1)
    (advice-add 'runlog-text-paint :after #'b-painted)
    (setq before (list (buffer-local-value 'runlog-list--asked list) b-paints)
          from (float-time))
    (let ((said (b-load "save" root (number-to-string b-seconds) (number-to-string b-rate) out))
          (took (- (float-time) from)))
      (funcall say "%s" said)
      (let ((asked (/ (- (buffer-local-value 'runlog-list--asked list) (car before)) took))
            (painted (/ (- b-paints (cadr before)) took))
            (missing 0))
        (sleep-for 1)
        (with-temp-buffer
          (insert-file-contents out)
          (while (re-search-forward "^\\(\\S-+\\) [0-9]+ \\([0-9]+\\)" nil t)
            (let ((seen (gethash (match-string 1) b-seen)))
              (if seen
                  (push (* 1000 (- seen (/ (string-to-number (match-string 2)) 1e9))) latencies)
                (cl-incf missing)))))
        (funcall say "rename to painted row, %d rows, %d overwritten before: median %.0f ms, 95th %.0f ms, most %.0f ms"
                 (length latencies) missing (b-percentile latencies 0.5)
                 (b-percentile latencies 0.95) (b-percentile latencies 1.0))
        (funcall say "lists asked for: %.2f a second; shown: %.2f times a second" asked painted)
        (setq well (and (> (length latencies) (* 0.8 b-seconds b-rate))
                        (< (b-percentile latencies 0.95) 300)
                        (<= asked 2)))))
    ;; somebody reads the list
    (delete-other-windows)
    (switch-to-buffer list)
    (goto-char (point-min))
    (forward-line 39)
    (recenter 0)
    (forward-line 10)
    (let ((view (t-view))
          (line (line-number-at-pos)))
      (b-load "new" root "500" (number-to-string b-rate) out)
      (t-until "500 arrivals"
        (>= runlog-list--total (+ count 500 (/ (* b-seconds b-rate) 2))))
      (sit-for 1.5)
      (let ((now (t-view)))
        (funcall say "after 500 arrivals: point from line %d to %d, on the same run: %s; same first line: %s"
                 line (line-number-at-pos)
                 (if (equal (car view) (car now)) "yes" "no")
                 (if (equal (cadr view) (cadr now)) "yes" "no"))
        (and well (equal view now))))))

(defun runlog-checks-run (words)
  "Measure with as many runs as WORDS say."
  (setq confirm-kill-processes nil
        inhibit-startup-screen t)
  (let ((file (expand-file-name "results" t-place)))
    (cl-flet ((say (format &rest args)
                (let ((coding-system-for-write 'utf-8-unix))
                  (write-region (concat (apply #'format format args) "\n") nil file t 'quiet))))
      (let ((well (condition-case oops
                      (b-measure (string-to-number words) #'say)
                    (error (say "FAILED %S" oops) nil))))
        (say "%s" (if well "all well" "FAILED"))
        (say "status %d" (if well 0 1))))))

;;; bench.el ends here
