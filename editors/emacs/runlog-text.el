;;; runlog-text.el --- Values and lines as runlog shows them  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The runlog authors
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; Spelling of values, and buffers of lines that change by themselves while
;; somebody reads them.  Nothing is computed here.

;;; Code:

(require 'cl-lib)
(require 'iso8601)
(require 'subr-x)
(require 'runlog-client)

(defface runlog-completed '((t :inherit success)) "Completed runs."
  :group 'runlog)
(defface runlog-failed '((t :inherit error)) "Failed runs."
  :group 'runlog)
(defface runlog-running '((t :inherit font-lock-function-name-face)) "Running runs."
  :group 'runlog)
(defface runlog-queued '((t :inherit font-lock-type-face)) "Queued runs."
  :group 'runlog)
(defface runlog-paused '((t :inherit warning)) "Paused runs."
  :group 'runlog)
(defface runlog-cancelled '((t :inherit shadow)) "Cancelled runs."
  :group 'runlog)
(defface runlog-stale '((t :inherit warning)) "Runs that are silent for too long."
  :group 'runlog)
(defface runlog-time '((t :inherit shadow)) "Dates."
  :group 'runlog)
(defface runlog-number '((t :inherit font-lock-constant-face)) "Amounts."
  :group 'runlog)
(defface runlog-project '((t :inherit font-lock-keyword-face)) "Projects and nodes."
  :group 'runlog)
(defface runlog-error '((t :inherit error)) "Errors."
  :group 'runlog)
(defface runlog-mark '((t :inherit warning)) "Marks of pinned and chosen runs."
  :group 'runlog)
(defface runlog-tag '((t :inherit font-lock-type-face)) "Tags."
  :group 'runlog)
(defface runlog-heading '((t :inherit bold)) "Headings."
  :group 'runlog)
(defface runlog-hint '((t :inherit shadow)) "What is said about the list itself."
  :group 'runlog)
(defface runlog-match '((t :inherit match)) "What was searched for."
  :group 'runlog)

(defun runlog-text-status (summary)
  "Return the status of SUMMARY as it is shown."
  (let ((stale (runlog-client-get summary :staleAt)))
    (if (and stale (time-less-p (runlog-text-time stale) nil))
        "stale"
      (or (runlog-client-get summary :status) "?"))))

(defun runlog-text-turns-stale (summary)
  "Return the seconds until SUMMARY is stale, or nil if it is so or never will be."
  (when-let ((stale (runlog-client-get summary :staleAt)))
    (let ((left (- (float-time (runlog-text-time stale)) (float-time))))
      (and (> left 0) left))))

(defun runlog-text-status-face (status)
  "Return the face of STATUS."
  (if (member status '("completed" "failed" "running" "queued" "paused" "cancelled" "stale"))
      (intern (concat "runlog-" status))
    'default))

(defun runlog-text-time (date)
  "Return the time value of DATE, as the protocol has it."
  (encode-time (iso8601-parse date)))

(defun runlog-text-date (date &optional format)
  "Spell DATE in the zone of this machine, by FORMAT."
  (and (stringp date)
       (condition-case nil
           (format-time-string (or format "%Y-%m-%d %H:%M:%S") (runlog-text-time date))
         (error date))))

(defconst runlog-text--duration-most 3e16
  "Beyond a million years a number of milliseconds tells nobody anything.
`span' in src/cli/time.rs has the same.")

(defun runlog-text-duration (milliseconds)
  "Spell a number of MILLISECONDS."
  (when (numberp milliseconds)
    (let ((seconds (floor milliseconds 1000)))
      (cond
       ((< milliseconds 0) (concat "-" (runlog-text-duration (- milliseconds))))
       ((> milliseconds runlog-text--duration-most) "ages")
       ((< milliseconds 1000) (format "%d ms" milliseconds))
       ((< seconds 60) (format "%.1f s" (/ (floor milliseconds 100) 10.0)))
       ((< seconds 3600) (format "%d m %02d s" (/ seconds 60) (% seconds 60)))
       (t (format "%d h %02d m" (/ seconds 3600) (% (/ seconds 60) 60)))))))

(defun runlog-text-cost (dollars)
  "Spell a number of DOLLARS."
  (when (numberp dollars)
    (let* ((amount (abs dollars))
           ;; no more places than tell it from every other: a large amount has not room for nine
           (exact (or (cl-loop for places from 2 to 9
                               for text = (format (format "%%.%df" places) amount)
                               when (= (string-to-number text) amount) return text)
                      (format "%.9f" amount)))
           (text (replace-regexp-in-string "0+\\'" "" exact))
           (places (- (length text) 1 (string-match "\\." text))))
      (concat (and (< dollars 0) "-") "$" text (make-string (max 0 (- 2 places)) ?0)))))

(defun runlog-text-count (count)
  "Spell COUNT with its thousands apart."
  (when (numberp count)
    (let ((text (format "%.0f" count)))
      (while (string-match "\\([0-9]\\)\\([0-9]\\{3\\}\\)\\(,\\|\\'\\)" text)
        (setq text (replace-match "\\1,\\2\\3" t nil text)))
      text)))

(defun runlog-text-bytes (bytes)
  "Spell a number of BYTES."
  (when (numberp bytes)
    (cond
     ((>= bytes 1e9) (format "%.1f GB" (/ bytes 1e9)))
     ((>= bytes 1e6) (format "%.1f MB" (/ bytes 1e6)))
     ((>= bytes 1e3) (format "%.1f kB" (/ bytes 1e3)))
     (t (format "%d bytes" bytes)))))

(defconst runlog-text--unseen
  (concat "[\0-\10\13-\37\177\u0080-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e"
          "\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\x3fff80-\x3fffff]")
  "What would turn the writing round on a display, or is not to be seen on it.
`acts' in src/cli/terminal.rs has the same.")

(defun runlog-text-visible (text)
  "Return TEXT with every character shown for what it is."
  (if (string-match-p runlog-text--unseen text)
      (replace-regexp-in-string
       runlog-text--unseen
       (lambda (found)
         (let ((char (aref found 0)))
           (cond ((< char 32) (string (+ #x2400 char)))
                 ((= char 127) "␡")
                 (t (format "<%04x>" char)))))
       text t t)
    text))

(defun runlog-text-line (text)
  "Return the first line of TEXT, on one line."
  (string-replace "\t" " " (runlog-text-visible (car (split-string text "[\r\n]")))))

(defun runlog-text-lines (text)
  "Return the lines of TEXT."
  (mapcar #'runlog-text-visible (split-string text "\r?\n")))

(defun runlog-text-shorten (text width)
  "Return TEXT cut to WIDTH."
  (truncate-string-to-width text width nil nil "…"))

(defun runlog-text-face (text face)
  "Return TEXT in FACE."
  (propertize text 'face face))

(defun runlog-text-utf16-index (text units)
  "Return the index in TEXT of an offset of UNITS of UTF-16."
  (let ((index 0))
    (while (and (> units 0) (< index (length text)))
      (cl-decf units (if (> (aref text index) #xffff) 2 1))
      (cl-incf index))
    index))

(defun runlog-text-utf16-units (text index)
  "Return the offset in UTF-16 units of INDEX in TEXT."
  (let ((units 0))
    (dotimes (i (min index (length text)))
      (cl-incf units (if (> (aref text i) #xffff) 2 1)))
    units))

;;;; Lines

;; A line is (KEY . TEXT).  Keys are texts; those of lines that only say
;; something about the others begin with a newline.

(defvar-local runlog-text--lines nil
  "The lines of this buffer.")

(defun runlog-text--said-p (line)
  "Whether LINE is no run's, but the list's own."
  (or (null line) (eq (aref (car line) 0) ?\n)))

(defun runlog-text-key (&optional position)
  "Return the key of the line at POSITION, or at point."
  (car (nth (1- (line-number-at-pos position)) runlog-text--lines)))

(defun runlog-text--moved (old at number)
  "Return where the line that had NUMBER in OLD, a vector, is now.
AT tells the numbers of keys.  Of one that is gone, it is where the next one is
that was below it."
  (let ((found nil)
        (i number))
    (if (runlog-text--said-p (and (< i (length old)) (aref old i)))
        ;; it stays below what it was below
        (progn
          (while (and (>= i 0) (or (>= i (length old)) (runlog-text--said-p (aref old i))))
            (cl-decf i))
          (if (and (>= i 0) (gethash (car (aref old i)) at))
              (1+ (gethash (car (aref old i)) at))
            0))
      (while (and (not found) (< i (length old)))
        (setq found (gethash (car (aref old i)) at))
        (cl-incf i))
      (or found (max 0 (1- (hash-table-count at)))))))

(defun runlog-text-paint (lines)
  "Show LINES in this buffer.
Only what differs is written, and every window stays on the line it was on, and
scrolled to the line it was scrolled to.  So does the mark, that the region has
no other lines than before."
  (unless (equal lines runlog-text--lines)
    (let ((old (vconcat runlog-text--lines))
          (new (vconcat lines))
          (at (make-hash-table :test #'equal :size (length lines)))
          (places nil)
          (deactivate-mark nil))
      (dotimes (i (length new))
        (puthash (car (aref new i)) i at))
      (dolist (window `(nil ,@(and (mark t) '(mark)) ,@(get-buffer-window-list nil nil t)))
        (let ((point (cond ((eq window 'mark) (mark t)) (window (window-point window)) (t (point))))
              (start (if (windowp window) (window-start window) (point-min))))
          (push (list window
                      (1- (line-number-at-pos point))
                      (save-excursion (goto-char point) (current-column))
                      (1- (line-number-at-pos start)))
                places)))
      (runlog-text--write old new)
      (setq runlog-text--lines lines)
      (pcase-dolist (`(,window ,line ,column ,start) places)
        (let* ((stays (or (zerop (length old))
                          ;; a list that shows its top while somebody works elsewhere goes on showing it;
                          ;; what is typed in the minibuffer is about the line of the window it is typed from
                          (and (windowp window)
                               (zerop line) (zerop start)
                               (not (memq window (list (selected-window)
                                                       (minibuffer-selected-window)))))))
               (position (runlog-text--position
                          (if stays 0 (runlog-text--moved old at line)) column mark-active)))
          (cond
           ((not window) (goto-char position))
           ((eq window 'mark) (set-marker (mark-marker) position))
           (t
            (set-window-start
             window
             (runlog-text--position
              (if (or stays (<= (length new) (window-body-height window)))
                  0
                (runlog-text--moved old at start))
              0)
             t)
            (set-window-point window position)))))
      (set-buffer-modified-p nil))))

(defun runlog-text--write (old new)
  "Make the buffer's lines NEW where they were OLD, both vectors.
Only what differs is written."
  (let ((inhibit-read-only t)
        (was (make-hash-table :test #'equal :size (length old)))
        (i 0)
        (j 0))
    (mapc (lambda (line) (puthash (car line) t was)) old)
    (save-excursion
      (goto-char (point-min))
      (while (or (< i (length old)) (< j (length new)))
        (let ((before (and (< i (length old)) (aref old i)))
              (after (and (< j (length new)) (aref new j))))
          (cond
           ((equal before after)
            (forward-line)
            (cl-incf i)
            (cl-incf j))
           ((and after (not (and before (gethash (car after) was))))
            (insert (cdr after) "\n")
            (cl-incf j))
           (t
            ;; gone, changed, or to come again further down
            (delete-region (point) (line-beginning-position 2))
            (remhash (car before) was)
            (cl-incf i))))))))

(defun runlog-text--position (line column &optional end)
  "Return the position of COLUMN in LINE, the first being 0.
It is on a line, unless with END it may be behind the last one."
  (save-excursion
    (goto-char (point-min))
    (forward-line line)
    (when (and (eobp) (bolp) (not (bobp)) (not end))
      (forward-line -1))
    (move-to-column column)
    (point)))

(provide 'runlog-text)
;;; runlog-text.el ends here
