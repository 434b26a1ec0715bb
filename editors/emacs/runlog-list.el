;;; runlog-list.el --- The list of a root's runs  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The runlog authors
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; What is shown is what the daemon last listed, with the changes it told since
;; laid over; every change asks for the list again, twice a second at most, so
;; the two never part for long.  Nothing is filtered, sorted or summed up here.

;;; Code:

(require 'cl-lib)
(require 'tabulated-list)
(require 'compile)
(require 'hl-line)
(require 'runlog-client)
(require 'runlog-text)

(declare-function runlog "runlog")
(declare-function runlog-choose "runlog")
(declare-function runlog-run-open "runlog-run")
(declare-function runlog-run-compare "runlog-run")

(defcustom runlog-page 100
  "How many runs are listed at first, and how many more are loaded at once."
  :type '(restricted-sexp :match-alternatives
                          ((lambda (n) (and (integerp n) (<= 1 n 1000)))))
  :group 'runlog)

(defconst runlog-list--refresh-every 0.5
  "Seconds between two questions for the list while changes come.")

(defconst runlog-list--refresh-most 2.0
  "Seconds at most between them, however long an answer takes.")

(defvar runlog-list--passing-every 30.0
  "Seconds between two questions for a list with a filter.
What passes `startedAt >= -1h' changes by itself.")

(defconst runlog-list--paint-every 0.15
  "Seconds between two writings of lines while changes come.")

(defvar-local runlog-client nil
  "The client of this buffer.")
(put 'runlog-client 'permanent-local t)

(defvar-local runlog-list--rows nil "Summaries, in the daemon's order.")
(defvar-local runlog-list--by-key nil "The summary of each key.")
(defvar-local runlog-list--matches nil "What was found in the run of each key.")
(defvar-local runlog-list--gone nil "Keys of what was told to be gone.")
(defvar-local runlog-list--total nil "How many runs match.")
(defvar-local runlog-list--more nil "Whether there are more than are loaded.")
(defvar-local runlog-list--complete t "Whether the answer was complete.")
(defvar-local runlog-list--loaded nil "Whether there was an answer.")
(defvar-local runlog-list--error nil "The error of the last answer.")
(defvar-local runlog-list--problems nil "How many files have a problem.")
(defvar-local runlog-list--pages 1 "How many pages somebody asked for.")
(defvar-local runlog-list--question 0 "Counts what the list was about.")
(defvar-local runlog-list--loading nil "Whether an answer is awaited.")
(defvar-local runlog-list--again nil "Whether something changed meanwhile.")
(defvar-local runlog-list--asked-at nil "When the list was asked for.")
(defvar-local runlog-list--took 0 "How long that took.")
(defvar-local runlog-list--painted-at 0 "When lines were written.")
(defvar-local runlog-list--timers nil "Timers by what they are for.")
(defvar-local runlog-list--subscription nil "The subscription to changes.")
(defvar-local runlog-list--watcher nil "What hears of the client's states.")
(defvar-local runlog-list--chosen nil "The run that the next one is compared with.")
(defvar-local runlog-list--printed nil "Rows as text, by what they are made of.")
(defvar-local runlog-list--asked 0 "How often the list was asked for.")

(defvar-local runlog-list-where nil "The filter.")
(defvar-local runlog-list-status nil "The only status shown.")
(defvar-local runlog-list-search nil "What is searched for.")

(defun runlog-list--key (summary)
  "Return the key of SUMMARY."
  (concat (plist-get summary :projectId) "/" (plist-get summary :id)))

(defmacro runlog-list--in (buffer &rest body)
  "Evaluate BODY in BUFFER, all of it, if it is still there."
  (declare (indent 1))
  `(when (buffer-live-p ,buffer)
     (with-current-buffer ,buffer
       (save-restriction
         (widen)
         ,@body))))

(defun runlog-list--later (what seconds function)
  "Call FUNCTION here in SECONDS, unless that is already to be done for WHAT."
  (unless (alist-get what runlog-list--timers)
    (let ((buffer (current-buffer)))
      (setf (alist-get what runlog-list--timers)
            (run-at-time (max 0 seconds) nil
                         (lambda ()
                           (runlog-list--in buffer
                             (setf (alist-get what runlog-list--timers) nil)
                             (funcall function))))))))

(defun runlog-list--not-later (what)
  "Take back what was to be done for WHAT."
  (when-let ((timer (alist-get what runlog-list--timers)))
    (cancel-timer timer)
    (setf (alist-get what runlog-list--timers) nil)))

;;;; What is asked

(defvar runlog-list--zones nil
  "Names of time zones, by what TZ says and the file that it means.")

(defun runlog-list--contents (file)
  "Return the bytes of FILE."
  (with-temp-buffer
    (set-buffer-multibyte nil)
    (insert-file-contents-literally file)
    (buffer-string)))

(defun runlog-list--zone-held (file folder)
  "Return the name of a zone of FOLDER that has the same as FILE in its file."
  (let* ((case-fold-search nil)
         ;; the others are no names: posix/Asia/Tokyo, localtime
         (name "\\`[[:upper:]]")
         (text (runlog-list--contents file))
         (zone (cl-find-if
                (lambda (other)
                  (and (eql (file-attribute-size (file-attributes (file-truename other)))
                            (length text))
                       (equal (runlog-list--contents other) text)))
                (and (file-directory-p folder)
                     (directory-files-recursively
                      folder name nil
                      (lambda (below)
                        (string-match-p name (file-name-nondirectory below))))))))
    (and zone (file-relative-name zone folder))))

(defun runlog-list--zone-name (zone folder)
  "Return the name of the time zone that TZ spells as ZONE; its file is in FOLDER."
  (when (file-name-absolute-p zone)
    (let ((file (file-truename zone)))
      (setq zone (cond
                  ((not (file-regular-p file)) "UTC")
                  ((string-match "zoneinfo/\\(.+\\)\\'" file) (match-string 1 file))
                  ((runlog-list--zone-held file folder))
                  ((and (equal zone "/etc/localtime") (file-readable-p "/etc/timezone"))
                   (string-trim (runlog-list--contents "/etc/timezone")))
                  (t "")))))
  (setq zone (string-remove-prefix "posix/" zone))
  (cond
   ;; what is no name, such as CET-1CEST, the daemon would refuse; without a slash only
   ;; the names of files are some
   ((or (equal zone "UTC")
        (string-match-p "\\`[[:alpha:]][[:alnum:]_+-]*/[[:alnum:]_+/-]+\\'" zone)
        (and (string-match-p "\\`[[:alpha:]][[:alnum:]+-]*\\'" zone)
             (file-regular-p (expand-file-name zone folder))))
    zone)
   ;; whole hours: JST-9, <+03>-3
   ((and (string-match "\\`\\(?:<[^>]+>\\|[[:alpha:]]+\\)\\([+-]?[0-9]+\\)\\'" zone)
         (<= -14 (string-to-number (match-string 1 zone)) 12))
    (let ((hours (string-to-number (match-string 1 zone))))
      (if (zerop hours) "UTC" (format "Etc/GMT%+d" hours))))
   (t
    (message "runlog: this machine's time zone has no known name; days are those of UTC")
    "UTC")))

(defun runlog-zone ()
  "Return the IANA name of this machine's time zone, in which today is meant.
`LOCAL' in src/cli/time.rs finds it alike."
  (let* ((tz (or (getenv "TZ") ""))
         (zone (string-remove-prefix ":" (if (string-empty-p tz) "/etc/localtime" tz)))
         (by (cons zone (and (file-name-absolute-p zone) (file-truename zone)))))
    (cdr (or (assoc by runlog-list--zones)
             (car (push (cons by (runlog-list--zone-name
                                  zone (or (getenv "TZDIR") "/usr/share/zoneinfo")))
                        runlog-list--zones))))))

(defun runlog-list--about ()
  "Return the params that say what the list is about."
  `(:timezone ,(runlog-zone)
    ,@(and runlog-list-where (list :where runlog-list-where))
    ,@(and runlog-list-status (list :status runlog-list-status))))

(defun runlog-list-refresh ()
  "Ask for the list soon."
  (if runlog-list--loading
      (setq runlog-list--again t)
    (runlog-list--later
     'refresh
     (if runlog-list--asked-at
         (max 0.05 (- (+ runlog-list--asked-at
                         ;; the first answer may have waited for the index
                         (min runlog-list--refresh-most
                              (max runlog-list--refresh-every (* 5 runlog-list--took))))
                      (float-time)))
       0)
     #'runlog-list--load)))

(defun runlog-list--windows-lines ()
  "Return, for each window, the lines of its point, its start and its end."
  (mapcar (lambda (window)
            (list (1- (line-number-at-pos (window-point window)))
                  (1- (line-number-at-pos (window-start window)))
                  (+ (line-number-at-pos (window-start window))
                     (window-body-height window))))
          (get-buffer-window-list nil nil t)))

(defun runlog-list--needed ()
  "Return the number of the lowest line that somebody has before them."
  (apply #'max 0 (mapcan #'copy-sequence (runlog-list--windows-lines))))

(defun runlog-list--anchors ()
  "Return the keys of the rows that a point or a window's start is on."
  (let (keys)
    (pcase-dolist (`(,point ,start ,_) (runlog-list--windows-lines))
      (dolist (line (list point start))
        (let ((key (car (nth line runlog-text--lines))))
          (when (and key (gethash key runlog-list--by-key))
            (push key keys)))))
    keys))

(defun runlog-list--load ()
  "Ask for as much of the list as is needed."
  (setq runlog-list--loading t
        runlog-list--again nil
        runlog-list--asked-at (float-time))
  (cl-incf runlog-list--asked)
  (runlog-list--page runlog-list--question nil nil nil nil
                     (make-hash-table :test #'equal) (make-hash-table :test #'equal)))

(defun runlog-list--page (question cursor wanted clock rows seen matches)
  "Ask for the page at CURSOR, if the list is still about QUESTION.
WANTED is how many rows there should be in the end, CLOCK the first page's.
ROWS, the last one first, SEEN and MATCHES are of the pages before."
  (let* ((buffer (current-buffer))
         (rest (if wanted
                   (- wanted (length rows))
                 (max (* runlog-list--pages runlog-page) (runlog-list--needed))))
         (params `(,@(runlog-list--about)
                   ,@(and runlog-list-search (list :query runlog-list-search))
                   ,@(and cursor (list :cursor cursor))
                   :limit ,(min 1000 (if (> rest 0) rest runlog-page)))))
    (runlog-client-request
     runlog-client
     (if runlog-list-search 'executions/search 'executions/list)
     params
     (lambda (answer)
       (runlog-list--in buffer
         (if (/= question runlog-list--question)
             (runlog-list--asked-anew)
           (mapc (lambda (hit)
                   (let* ((row (or (plist-get hit :summary) hit))
                          (key (runlog-list--key row)))
                     (unless (gethash key seen)
                       (puthash key row seen)
                       (puthash key (plist-get hit :matches) matches)
                       (push row rows))))
                 (or (plist-get answer :executions) (plist-get answer :hits)))
           (let* ((total (runlog-client-get answer :total))
                  (next (runlog-client-get answer :nextCursor))
                  (clock (or clock (plist-get answer :clock)))
                  (wanted
                   (or wanted
                       ;; what has come above pushes down what somebody looks at
                       (max (* runlog-list--pages runlog-page)
                            (+ (runlog-list--needed)
                               (if (and total runlog-list--total)
                                   (max 0 (- total runlog-list--total))
                                 0)))))
                  (lost (cl-some (lambda (key)
                                   (not (or (gethash key seen)
                                            (gethash key runlog-list--gone))))
                                 (runlog-list--anchors))))
             (if (and next (or (< (length rows) wanted)
                               (and lost (< (length rows) (+ wanted 1000)))))
                 (runlog-list--page question next wanted clock rows seen matches)
               (setq runlog-list--rows (nreverse rows)
                     runlog-list--matches matches
                     runlog-list--total total
                     runlog-list--more (and next t)
                     runlog-list--complete (not (eq (plist-get answer :complete) :json-false))
                     runlog-list--loaded t
                     runlog-list--error nil)
               (unless runlog-list--subscription
                 (runlog-list--subscribe clock))
               (runlog-list--count-problems)
               (runlog-list--answered))))))
     (lambda (err)
       (runlog-list--in buffer
         (if (/= question runlog-list--question)
             (runlog-list--asked-anew)
           (if (and cursor (eql (plist-get err :code) -32602))
               ;; the cursor was another daemon's: once more from the top
               (setq runlog-list--again t)
             (setq runlog-list--error err))
           (runlog-list--answered)))))))

(defun runlog-list--asked-anew ()
  "What was answered is no longer the question."
  (setq runlog-list--loading nil)
  (runlog-list-refresh))

(defun runlog-list--answered ()
  "The list is as the daemon has it."
  (setq runlog-list--loading nil
        runlog-list--took (- (float-time) (or runlog-list--asked-at (float-time))))
  (runlog-list--paint)
  (when (or runlog-list--again
            (and (not runlog-list--error) (not runlog-list--complete)))
    (runlog-list-refresh))
  (runlog-list--not-later 'passing)
  (when runlog-list-where
    (runlog-list--later 'passing runlog-list--passing-every #'runlog-list--passing)))

(defun runlog-list--passing ()
  "Ask again what passes the filter, if this is in a window."
  (when (and runlog-list-where (get-buffer-window nil t))
    (runlog-list-refresh)))

(defun runlog-list--subscribe (clock)
  "Hear of each change after CLOCK."
  (let ((buffer (current-buffer)))
    (setq runlog-list--subscription
          (runlog-client-subscribe
           runlog-client `(,@(runlog-list--about) :since ,clock)
           (lambda (change)
             (runlog-list--in buffer (runlog-list--told change)))))))

(defun runlog-list--ask ()
  "Ask about something else from now on."
  (cl-incf runlog-list--question)
  (when runlog-list--subscription
    (runlog-client-unsubscribe runlog-client runlog-list--subscription))
  (runlog-list--not-later 'refresh)
  (setq runlog-list--subscription nil
        runlog-list--asked-at nil
        runlog-list--pages 1
        runlog-list--total nil
        runlog-list--more nil
        runlog-list--error nil
        runlog-list--loaded nil
        runlog-list--rows nil)
  (clrhash runlog-list--gone)
  (runlog-list--in (current-buffer)
    (runlog-list--paint))
  (runlog-list-refresh))

(defun runlog-list--count-problems ()
  "Ask how many files have a problem."
  (let ((buffer (current-buffer)))
    (runlog-client-request runlog-client 'server/status nil
                           (lambda (status)
                             (runlog-list--in buffer
                               (setq runlog-list--problems (plist-get status :problems))
                               (force-mode-line-update)))
                           #'ignore)))

;;;; What is told

(defun runlog-list--told (change)
  "Lay CHANGE over the list, and ask for it again."
  (let ((kind (plist-get change :kind)))
    (unless (equal kind "current")
      (cond
       ((equal kind "saved")
        (let* ((summary (plist-get change :summary))
               (key (runlog-list--key summary))
               (old (gethash key runlog-list--by-key))
               (first (car runlog-list--rows)))
          (remhash key runlog-list--gone)
          (cond
           (old
            (setcar (memq old runlog-list--rows) summary)
            (puthash key summary runlog-list--by-key))
           ((and runlog-list--loaded
                 (eq (plist-get change :created) t)
                 (not runlog-list-search)
                 (or (not first)
                     (not (string< (or (runlog-client-get summary :startedAt) "")
                                   (or (runlog-client-get first :startedAt) "")))))
            (push summary runlog-list--rows)
            (puthash key summary runlog-list--by-key)))))
       ((member kind '("deleted" "left"))
        (let* ((key (concat (plist-get change :projectId) "/" (plist-get change :executionId)))
               (old (gethash key runlog-list--by-key)))
          (when old
            (puthash key t runlog-list--gone)
            (setq runlog-list--rows (delq old runlog-list--rows))
            (remhash key runlog-list--by-key)))))
      (runlog-list--later 'paint
                          (- (+ runlog-list--painted-at runlog-list--paint-every) (float-time))
                          #'runlog-list--paint)
      (runlog-list-refresh))))

;;;; What is shown

(defconst runlog-list--format
  [("" 1 nil) ("Status" 10 nil) ("Started" 16 nil) ("  Duration" 10 nil)
   ("        Cost" 12 nil) ("Project" 16 nil) ("Run" 0 nil)]
  "The columns; the daemon sorts.")

(defvar-local runlog-list--shown '(0 1 2 3 4 5 6)
  "Which of the columns are shown.")

(defun runlog-list--which ()
  "Return which columns are shown, so that the name of a run is in sight.
One project is not named; a narrow window has no durations, then no times and
no projects."
  (let ((width (apply #'min (or (mapcar #'window-body-width
                                        (get-buffer-window-list nil nil t))
                                (list (frame-width)))))
        (project (plist-get (car runlog-list--rows) :projectId)))
    (cl-set-difference
     '(0 1 2 3 4 5 6)
     (append (and (< width 60) '(2))
             (and (< width 80) '(3))
             (and (or (< width 60)
                      (cl-every (lambda (row) (equal (plist-get row :projectId) project))
                                runlog-list--rows))
                  '(5))))))

(defun runlog-list--choose (columns)
  "Return those of COLUMNS, a vector, that are shown."
  (vconcat (mapcar (lambda (place) (aref columns place)) runlog-list--shown)))

(defun runlog-list--arrange ()
  "Show the columns for which there is room."
  (let ((which (sort (runlog-list--which) #'<)))
    (unless (equal which runlog-list--shown)
      (setq runlog-list--shown which
            tabulated-list-format (runlog-list--choose runlog-list--format))
      (clrhash runlog-list--printed)
      (tabulated-list-init-header))))

(defun runlog-list--resized (window)
  "Show WINDOW's columns, if there is room for others now."
  (runlog-list--in (window-buffer window)
    (unless (equal (sort (runlog-list--which) #'<) runlog-list--shown)
      (runlog-list--paint))))

(defun runlog-list--came (window)
  "What WINDOW has come to show may have been asked for long ago."
  (runlog-list--in (window-buffer window)
    (runlog-list--passing)))

(defun runlog-list--columns (summary status chosen)
  "Return the columns of SUMMARY, shown with STATUS and maybe as CHOSEN."
  (let* ((get (lambda (&rest keys) (apply #'runlog-client-get summary keys)))
         (label (runlog-text-line (or (funcall get :label) (funcall get :id))))
         (note (funcall get :note))
         (err (funcall get :error)))
    (vector
     (runlog-text-face (cond (chosen ">")
                             ((eq (funcall get :pinned) t) "*")
                             (t " "))
                       'runlog-mark)
     (runlog-text-face (runlog-text-line status) (runlog-text-status-face status))
     (runlog-text-face (or (runlog-text-date (funcall get :startedAt) "%Y-%m-%d %H:%M") "")
                       'runlog-time)
     (runlog-text-face (format "%10s" (or (runlog-text-duration (funcall get :duration)) ""))
                       'runlog-number)
     (runlog-text-face (format "%12s" (or (runlog-text-cost (funcall get :costUSD)) ""))
                       'runlog-number)
     (runlog-text-face (runlog-text-line (funcall get :projectId)) 'runlog-project)
     (concat label
             (mapconcat (lambda (tag)
                          (concat " " (runlog-text-face (concat "#" (runlog-text-line tag))
                                                        'runlog-tag)))
                        (funcall get :tags) "")
             (and note
                  (runlog-text-face
                   (format " “%s”" (runlog-text-shorten
                                    (concat (runlog-text-line note)
                                            (and (string-match-p "[\r\n]" note) " …"))
                                    60))
                   'runlog-hint))
             (and err
                  (concat "  " (runlog-text-face
                                (runlog-text-shorten (runlog-text-line err) 80)
                                'runlog-error)))))))

(defun runlog-list--row (summary)
  "Return the line of SUMMARY."
  (let* ((key (runlog-list--key summary))
         (made-of (list summary
                        (runlog-text-status summary)
                        (and runlog-list--chosen
                             (equal key (runlog-list--key runlog-list--chosen)))))
         (known (gethash key runlog-list--printed)))
    (unless (equal (car known) made-of)
      (let ((columns (runlog-list--choose (apply #'runlog-list--columns made-of)))
            (format tabulated-list-format))
        (setq known
              (cons made-of
                    (with-temp-buffer
                      (setq tabulated-list-format format)
                      (tabulated-list-print-entry key columns)
                      (buffer-substring (point-min) (1- (point-max)))))))
      (puthash key known runlog-list--printed))
    (cons key (cdr known))))

(defun runlog-list--match-lines (key)
  "Return lines of what was found in the run of KEY."
  (let ((number 0))
    (mapcar
     (lambda (match)
       (let* ((snippet (plist-get match :snippet))
              (text (runlog-text-face
                     (format "              %s: " (runlog-text-line (plist-get match :path)))
                     'runlog-hint))
              (at 0))
         (cl-flet ((add (to face)
                     (let ((part (runlog-text-visible
                                  (replace-regexp-in-string
                                   "[\r\n\t]" " " (substring snippet at to)))))
                       (setq text (concat text (if face (runlog-text-face part face) part))
                             at to))))
           (mapc (lambda (range)
                   (add (runlog-text-utf16-index snippet (plist-get range :start)) nil)
                   (add (runlog-text-utf16-index snippet (plist-get range :end)) 'runlog-match))
                 (plist-get match :ranges))
           (add (length snippet) nil))
         (cons (format "%s\n%d" key (cl-incf number))
               (propertize text 'tabulated-list-id key))))
     (gethash key runlog-list--matches))))

(defun runlog-list--empty ()
  "Return what is said where there are no rows, as (TEXT . FACE)."
  (let* ((client runlog-client)
         (state (runlog-client-state client)))
    (cond
     ((memq state '(missing failed))
      `((,(runlog-client-trouble client) . runlog-error)
        ("")
        ,@(and (eq state 'missing)
               '(("Install runlog, or name it: M-x customize-option RET runlog-command")))
        ("g tries again, R chooses another folder." . runlog-hint)))
     (runlog-list--error
      `((,(plist-get runlog-list--error :message) . runlog-error)
        ("")
        (,(if runlog-list-search
              "S changes the search, x shows all, g tries again."
            "/ changes the filter, x shows all, g tries again.")
         . runlog-hint)))
     ((not runlog-list--loaded) '(("Loading…" . runlog-hint)))
     (runlog-list-search
      `((,(format "Nothing has %s." runlog-list-search))
        ,@(and (not runlog-list--complete)
               '(("The text index is still being built; the list follows it." . runlog-hint)))
        ("S searches for something else, x shows all." . runlog-hint)))
     ((or runlog-list-where runlog-list-status)
      '(("No run passes the filter.")
        ("/ changes the filter, s the status, x shows all." . runlog-hint)))
     ((let ((root (runlog-client-get (runlog-client-server client) :root :path)))
        (and root (not (file-directory-p root))))
      `(("There is no folder of runs here.  Looked for:")
        ,@(mapcar (lambda (place) (list (concat "  " place)))
                  (or (runlog-client-tried client) (list (runlog-client-root client))))
        ("")
        (,(format "Runs that are saved to %s appear by themselves; R chooses another folder."
                  (runlog-client-root client))
         . runlog-hint)))
     (t '(("No runs yet.  The first one that is saved appears here by itself.")
          ("R chooses another folder." . runlog-hint))))))

(defun runlog-list--when-stale (seconds function)
  "Call FUNCTION here once SECONDS have passed, unless they are nil."
  (runlog-list--not-later 'stale)
  (when seconds
    (runlog-list--later 'stale (min 86400 (1+ seconds)) function)))

(defun runlog-list--paint ()
  "Show what there is."
  (runlog-list--not-later 'paint)
  (setq runlog-list--painted-at (float-time))
  (clrhash runlog-list--by-key)
  (runlog-list--arrange)
  (let (lines stale)
    (dolist (row runlog-list--rows)
      (let ((key (runlog-list--key row))
            (left (runlog-text-turns-stale row)))
        (puthash key row runlog-list--by-key)
        (push (runlog-list--row row) lines)
        (dolist (line (runlog-list--match-lines key))
          (push line lines))
        (when left
          (setq stale (min left (or stale left))))))
    (cond
     ((not lines)
      (dolist (said (runlog-list--empty))
        (dolist (text (split-string (car said) "\n"))
          (push (cons (format "\n%d" (length lines))
                      (let ((text (runlog-text-visible text)))
                        (if (cdr said) (runlog-text-face text (cdr said)) text)))
                lines))))
     (runlog-list--more
      (push (cons "\nmore"
                  (runlog-text-face
                   (format "  %s; RET or + loads them"
                           (if runlog-list--total
                               (concat (runlog-text-count
                                        (max 0 (- runlog-list--total
                                                  (length runlog-list--rows))))
                                       " more")
                             "More"))
                   'runlog-hint))
            lines)))
    (runlog-text-paint (nreverse lines))
    (when (> (hash-table-count runlog-list--printed)
             (+ 1000 (* 2 (length runlog-list--rows))))
      (clrhash runlog-list--printed))
    (when (bound-and-true-p hl-line-mode)
      (hl-line-highlight)) ; it may have been on a row that was written anew
    (runlog-list--when-stale stale #'runlog-list--paint)
    (force-mode-line-update)))

(defun runlog-list--mode-line ()
  "Return the text of the mode line."
  (let ((say (lambda (text face)
               (concat "  " (propertize (string-replace "%" "%%" (runlog-text-line text))
                                        'face face)))))
    (concat
     (propertize (string-replace "%" "%%" (abbreviate-file-name
                                           (runlog-root-path runlog-client)))
                 'face 'mode-line-buffer-id)
     (and runlog-list--total
          (funcall say (format "%s %s" (runlog-text-count runlog-list--total)
                               (if (= runlog-list--total 1) "run" "runs"))
                   nil))
     (and runlog-list-status (funcall say (concat "status " runlog-list-status) nil))
     (and runlog-list-where (funcall say (concat "filter " runlog-list-where) nil))
     (and runlog-list-search (funcall say (concat "search " runlog-list-search) nil))
     (cond
      ((and runlog-list--error runlog-list--rows)
       (funcall say (plist-get runlog-list--error :message) 'runlog-error))
      ((eq (runlog-client-state runlog-client) 'waiting)
       (funcall say "reconnecting…" 'runlog-paused))
      ((and runlog-list--rows (memq (runlog-client-state runlog-client) '(missing failed)))
       (funcall say "not live; g tries again" 'runlog-error))
      ((and runlog-list--subscription (runlog-client-refused runlog-list--subscription))
       (funcall say (concat "not live: " (runlog-client-refused runlog-list--subscription))
                'runlog-error))
      ((not runlog-list--complete) (funcall say "still reading…" 'runlog-paused)))
     (and runlog-list--problems (> runlog-list--problems 0)
          (funcall say (format "%s %s (!)" (runlog-text-count runlog-list--problems)
                               (if (= runlog-list--problems 1) "problem" "problems"))
                   'runlog-paused))
     (let ((above (1- (line-number-at-pos (window-start)))))
       (and (> above 0) (format "  ↑%d" above)))
     "  ? help")))

;;;; What one does

(defun runlog-list--row-at-point ()
  "Return the summary of the run at point, or nil."
  ;; behind the row's text there is no id
  (gethash (tabulated-list-get-id (line-beginning-position)) runlog-list--by-key))

(defun runlog-list--need-row ()
  "Return the summary of the run at point, or complain."
  (or (runlog-list--row-at-point) (user-error "There is no run here")))

(defun runlog-list-open ()
  "Open the run at point, or load more."
  (interactive nil runlog-list-mode)
  (if (equal (runlog-text-key) "\nmore")
      (runlog-list-load-more)
    (runlog-run-open runlog-client (runlog-list--need-row))))

(defun runlog-list-load-more ()
  "Load another page of the list."
  (interactive nil runlog-list-mode)
  (when runlog-list--more
    (setq runlog-list--pages (1+ (ceiling (length runlog-list--rows) runlog-page))
          runlog-list--asked-at nil)
    (runlog-list-refresh)))

(defun runlog-list-all ()
  "Show the whole list again."
  (interactive nil runlog-list-mode)
  (setq runlog-list-where nil runlog-list-status nil runlog-list-search nil)
  (runlog-list--ask))

(defun runlog-list-choose-status (status)
  "Show only what has STATUS."
  (interactive
   (list (completing-read "Status: " '("all" "queued" "running" "paused" "completed"
                                       "failed" "cancelled")
                          nil t nil nil "all"))
   runlog-list-mode)
  (setq runlog-list-status (unless (equal status "all") status))
  (runlog-list--ask))

(defun runlog-list-search (query)
  "Show only what has QUERY in its contents.
Words, \"phrases\", begin*, OR, NOT or -."
  (interactive (list (read-string "Search: " runlog-list-search)) runlog-list-mode)
  (setq runlog-list-search (unless (string-blank-p query) query))
  (runlog-list--ask))

(defun runlog-list-filter (where)
  "Show only what passes the filter WHERE."
  (interactive (list (runlog-list--read-filter)) runlog-list-mode)
  (setq runlog-list-where (unless (string-blank-p where) where))
  (runlog-list--ask))

(defun runlog-list-compare ()
  "Choose the run at point; with another one chosen, compare the two."
  (interactive nil runlog-list-mode)
  (let ((row (runlog-list--need-row))
        (chosen runlog-list--chosen))
    (setq runlog-list--chosen (unless chosen row))
    (runlog-list--in (current-buffer)
      (runlog-list--paint))
    (cond
     ((not chosen) (message "= on another run compares it with this one; = here again takes it back"))
     ((equal (runlog-list--key chosen) (runlog-list--key row)))
     (t (runlog-run-compare runlog-client chosen row)))))

(defun runlog-list-delete ()
  "Delete the run at point, or those in the region; they go to the trash."
  (interactive nil runlog-list-mode)
  (runlog-delete
   runlog-client
   (if (use-region-p)
       (let ((end (region-end)) rows)
         (save-excursion
           (goto-char (region-beginning))
           (while (< (point) end)
             (when-let ((row (runlog-list--row-at-point)))
               (cl-pushnew row rows))
             (forward-line)))
         (deactivate-mark)
         (nreverse rows))
     (list (runlog-list--need-row)))))

(defconst runlog-list--deletions 100
  "How many runs are deleted at a time.
The daemon refuses more than 1,024 requests that are not answered.")

(defvar runlog-list--restored 1000
  "How many runs one request has back: the daemon takes no more entries.")

(defun runlog-delete (client rows)
  "Delete ROWS by way of CLIENT."
  (let ((left (length rows)) (to-ask rows) (went 0) (unknown 0) entries keys refusals)
    (cl-incf (runlog-client-under-way client))
    (cl-labels ((ask ()
                  (when-let ((row (pop to-ask)))
                    (runlog-client-request
                     client 'executions/delete
                     `(:projectId ,(plist-get row :projectId) :executionId ,(plist-get row :id))
                     (lambda (result)
                       (when (eq (plist-get result :deleted) t)
                         (cl-incf went)
                         (when-let ((entry (runlog-client-get result :entry)))
                           (push entry entries)
                           (push (runlog-list--key row) keys)))
                       (answered))
                     (lambda (err)
                       (if (and (cdr rows)
                                (equal (runlog-client-get err :data :outcome) "unknown"))
                           (cl-incf unknown)
                         (push (plist-get err :message) refusals))
                       (answered)))))
                (answered ()
                  (if (> (cl-decf left) 0)
                      (ask)
                    (when entries
                      (push (cons (vconcat (nreverse entries)) keys)
                            (runlog-client-deleted client))
                      (force-mode-line-update t))
                    (message "%s" (runlog-list--outcome rows went (nreverse refusals) unknown entries))
                    (runlog-list--done client))))
      (dotimes (_ (min runlog-list--deletions left))
        (ask)))))

(defun runlog-list--outcome (rows went refusals unknown undo)
  "Return what is said of a deletion of ROWS.
WENT is how many of them were deleted, REFUSALS tell why some were not, UNKNOWN
is how many of several may have gone, UNDO is whether they can be had back."
  (let* ((several (cdr rows))
         (missing (- (length rows) went (length refusals) unknown)))
    (string-join
     (delq nil
           (list
            (and (> went 0)
                 (format "Deleted %s%s"
                         (cond ((not several)
                                (runlog-text-shorten
                                 (runlog-text-line (or (runlog-client-get (car rows) :label)
                                                       (plist-get (car rows) :id)))
                                 40))
                               ((= went (length rows)) (format "%d runs" went))
                               (t (format "%d of %d runs" went (length rows))))
                         (if undo "; u has it back" "")))
            (and refusals
                 (if several
                     (format "%d refused: %s" (length refusals) (car refusals))
                   (concat "runlog: " (car refusals))))
            (and (> unknown 0) (format "%d unknown: the daemon ended" unknown))
            (and (> missing 0)
                 (if several (format "%d not there any more" missing)
                   "It is not there any more"))))
     ".  ")))

(defun runlog-undoes-p (client key)
  "Whether the next undo of CLIENT has the run of KEY back."
  (member key (cdr (car (runlog-client-deleted client)))))

(defun runlog-undo ()
  "Have back what was deleted last."
  (interactive nil runlog-list-mode runlog-run-mode)
  (cond
   ((> (runlog-client-under-way runlog-client) 0)
    (setf (runlog-client-undo-wanted runlog-client) t)) ; as soon as it is done
   ((runlog-client-deleted runlog-client) (runlog-list--restore runlog-client))
   (t (user-error "Nothing was deleted here"))))

(defun runlog-list--done (client)
  "A deletion of CLIENT or an undo is done; begin the undo that waits for it."
  (cl-decf (runlog-client-under-way client))
  (when (and (runlog-client-undo-wanted client) (zerop (runlog-client-under-way client)))
    (setf (runlog-client-undo-wanted client) nil)
    (runlog-list--restore client)))

(defun runlog-list--restore (client)
  "Have back what was deleted last by way of CLIENT."
  (when-let ((deletion (pop (runlog-client-deleted client))))
    (cl-incf (runlog-client-under-way client))
    (runlog-list--put-back client (car deletion) (cdr deletion) 0 0)))

(defun runlog-list--put-back (client entries keys back again)
  "Have back ENTRIES of KEYS by way of CLIENT.
BACK is how many are already, AGAIN how many cannot be, as there is such a run
again."
  (cl-labels ((go-on (left)
                (if (length> left 0)
                    (runlog-list--put-back client left keys back again)
                  (force-mode-line-update t)
                  (message "%s" (if (= 0 back again)
                                    "It is not in the trash any more"
                                  (runlog-list--returned back again)))
                  (runlog-list--done client))))
    (runlog-client-request
     client 'executions/restore `(:entries ,(seq-take entries runlog-list--restored))
     (lambda (result)
       (cl-incf back (plist-get result :count))
       (go-on (seq-drop entries runlog-list--restored)))
     (lambda (err)
       (let* ((kind (runlog-client-get err :data :kind))
              (left (remove (runlog-client-get err :data :entry) entries)))
         (if (and (member kind '("entry-not-found" "already-exists"))
                  (< (length left) (length entries)))
             ;; one is of no use any more: the others are to be had all the same, and what was deleted before
             (progn
               (when (equal kind "already-exists")
                 (cl-incf again))
               (go-on left))
           (push (cons entries keys) (runlog-client-deleted client))
           (setf (runlog-client-undo-wanted client) nil) ; it would be refused likewise
           (runlog-list--done client)
           (message "runlog: %s" (plist-get err :message))))))))

(defun runlog-list--returned (back again)
  "Return what is said of an undo: BACK are back, AGAIN are there again."
  (string-join
   (delq nil
         (list (and (> back 0) (format "%d %s back" back (if (= back 1) "run is" "runs are")))
               (and (> again 0)
                    (format "%d %s there again; the old ones stay in the trash"
                            again (if (= again 1) "is" "are")))))
   ".  "))

(defvar-local runlog-row-function nil
  "Function that returns the summary that this buffer's commands are about.")

(defun runlog-row ()
  "Return the summary that commands are about here."
  (funcall runlog-row-function))

(defun runlog-naming (project id)
  "Return params with which `executions/list' has the run ID of PROJECT alone."
  `(:projectId ,project
    :where ,(concat "id = " (decode-coding-string (json-serialize id) 'utf-8))))

(defun runlog-annotate (row &rest change)
  "Make CHANGE to the pins, tags and notes of ROW."
  (unless (runlog-client-can runlog-client "executions/annotate")
    (user-error "This version of the program has no pins, tags and notes; update it"))
  (runlog-client-request
   runlog-client 'executions/annotate
   `(:projectId ,(plist-get row :projectId) :executionId ,(plist-get row :id) ,@change)
   #'ignore))

(defun runlog-pin ()
  "Pin or unpin the run."
  (interactive nil runlog-list-mode runlog-run-mode)
  (let ((row (runlog-row)))
    (runlog-annotate row :pinned (if (eq (plist-get row :pinned) t) :json-false t))))

(defun runlog-list--pieces (text)
  "Return what is between the commas of TEXT."
  (split-string text "," t "[ \t\n]+"))

(defun runlog-tag (row text)
  "Give ROW the tags in TEXT, in place of those that it has.
Commas are between them.  Only what was changed is sent."
  (interactive
   ;; other rows may be where it is by the time that the text is typed
   (let ((row (runlog-row)))
     (list row (read-string "Tags, with commas between them: "
                            (string-join (runlog-client-get row :tags) ", "))))
   runlog-list-mode runlog-run-mode)
  (let* ((old (append (runlog-client-get row :tags) nil))
         (before (runlog-list--pieces (string-join old ",")))
         (after (runlog-list--pieces text))
         (added (cl-set-difference after before :test #'equal))
         ;; a tag may have commas of its own: it goes once nothing of it is left
         (removed (cl-remove-if (lambda (tag)
                                  (let ((pieces (runlog-list--pieces tag)))
                                    (or (not pieces)
                                        (cl-intersection pieces after :test #'equal))))
                                old)))
    (when (or added removed)
      (apply #'runlog-annotate row
             (append (and added (list :addTags (vconcat added)))
                     (and removed (list :removeTags (vconcat removed))))))))

(defvar runlog-list--note-within 5
  "Seconds that the daemon has to say what a note is before it is written.")

(defun runlog-note (row note)
  "Give ROW a NOTE; an empty one takes it away.
What somebody else has changed meanwhile is not written over."
  (interactive (let ((row (runlog-row)))
                 (list row (read-string "Note: " (runlog-client-get row :note))))
               runlog-list-mode runlog-run-mode)
  (let ((old (or (runlog-client-get row :note) "")))
    (unless (equal note old)
      (let* ((answer (runlog-client-await
                      runlog-client 'executions/list
                      (runlog-naming (plist-get row :projectId) (plist-get row :id))
                      runlog-list--note-within))
             (rows (plist-get answer :executions)))
        (unless answer
          (user-error "The daemon does not say what the note is by now; it is not written: %s" note))
        (unless (or (seq-empty-p rows)
                    (member (or (runlog-client-get (aref rows 0) :note) "") (list old note)))
          (user-error "Somebody else has changed the note; it is not written: %s" note)))
      (runlog-annotate row :note note))))

(defun runlog-root-path (client)
  "Return the folder of projects of CLIENT, as the daemon has it."
  (or (runlog-client-get (runlog-client-server client) :root :path)
      (runlog-client-root client)))

(defun runlog-find-file ()
  "Open the file of the run."
  (interactive nil runlog-list-mode runlog-run-mode)
  (let ((row (runlog-row)))
    (find-file (format "%s/%s/executions/%s.json" (runlog-root-path runlog-client)
                       (plist-get row :projectId) (plist-get row :id)))))

(defun runlog-copy-id ()
  "Copy the id of the run."
  (interactive nil runlog-list-mode runlog-run-mode)
  (kill-new (plist-get (runlog-row) :id))
  (message "Copied %s" (plist-get (runlog-row) :id)))

(defvar-local runlog-keys nil
  "The keys of this buffer, as (KEY COMMAND WORDS).")

(defun runlog-keymap (keys)
  "Return a map of KEYS, which are as those of the variable `runlog-keys'."
  (let ((map (make-sparse-keymap)))
    (pcase-dolist (`(,key ,command ,_) keys)
      (define-key map (kbd key) command))
    map))

(defun runlog-help ()
  "Show the keys of this buffer, in a window that q closes."
  (interactive nil runlog-list-mode runlog-run-mode)
  (let ((keys runlog-keys))
    (with-current-buffer (get-buffer-create "*runlog keys*")
      (special-mode)
      (let ((inhibit-read-only t))
        (erase-buffer)
        (pcase-dolist (`(,key ,_ ,words) keys)
          (insert (format " %-9s %s\n" key words)))
        (delete-char -1)
        (goto-char (point-min)))
      (pop-to-buffer (current-buffer) '((display-buffer-at-bottom)
                                        (window-height . fit-window-to-buffer))))))

(defun runlog-problems (&optional client cursor found)
  "List the files with problems of CLIENT.
CURSOR is that of the next page, FOUND what those before had."
  (interactive nil runlog-list-mode)
  (let ((client (or client runlog-client)))
    (runlog-client-request
     client 'server/problems
     `(:limit 1000 :sync t ,@(and cursor (list :cursor cursor)))
     (lambda (answer)
       (let ((found (append found (append (plist-get answer :problems) nil)))
             (next (runlog-client-get answer :nextCursor)))
         (cond
          (next (runlog-problems client next found))
          ((not found) (message "No file has a problem"))
          (t
           (let ((root (file-name-as-directory (runlog-root-path client))))
             (with-current-buffer (get-buffer-create "*runlog problems*")
               (let ((inhibit-read-only t))
                 (erase-buffer)
                 (setq default-directory root)
                 (insert (format "Files with problems in %s\n\n" root))
                 (dolist (problem found)
                   (insert (format "%s:1: %s: %s\n"
                                   (runlog-text-visible (plist-get problem :path))
                                   (plist-get problem :kind)
                                   (runlog-text-line (plist-get problem :message)))))
                 (goto-char (point-min)))
               (compilation-mode "Problems")
               ;; what a file is called may look like a line number, too
               (setq-local compilation-error-regexp-alist '(("^\\(.+?\\):1: " 1)))
               (display-buffer (current-buffer)))))))))))

(defun runlog-list-revert (&rest _)
  "Ask for the list again; look for the daemon if there was none."
  (runlog-client-retry runlog-client)
  (setq runlog-list--error nil
        runlog-list--asked-at nil)
  (runlog-list-refresh))

;;;; The filter

(defvar runlog-list--filter-client nil "The client of the filter that is written.")
(defvar runlog-list--filter-overlays nil "What marks the mistake, and what tells it.")

(defun runlog-list--filter-show (err)
  "Mark ERR of the filter that is written, or nothing."
  (mapc #'delete-overlay runlog-list--filter-overlays)
  (setq runlog-list--filter-overlays nil)
  (when err
    (let* ((text (minibuffer-contents-no-properties))
           (from (+ (minibuffer-prompt-end)
                    (runlog-text-utf16-index text (plist-get err :offset))))
           (to (+ (minibuffer-prompt-end)
                  (runlog-text-utf16-index text (plist-get err :end))))
           (nearest (runlog-client-get err :nearest))
           (mark (make-overlay from (max from to)))
           (said (make-overlay (point-max) (point-max) nil t t)))
      (setq runlog-list--filter-overlays (list mark said))
      (overlay-put mark 'face 'runlog-error)
      (overlay-put said 'after-string
                   (propertize
                    (format " [at %d: expected %s, found %s%s]"
                            (1+ (- from (minibuffer-prompt-end)))
                            (plist-get err :expected) (plist-get err :found)
                            (if nearest (format "; did you mean %s?" nearest) ""))
                    'face 'runlog-error 'cursor 0)))))

(defun runlog-list--filter-changed (&rest _)
  "Check the filter that is written."
  (runlog-list--filter-show nil)
  (let ((text (minibuffer-contents-no-properties))
        (buffer (current-buffer)))
    (unless (string-blank-p text)
      (runlog-client-request
       runlog-list--filter-client 'filter/check `(:text ,text)
       (lambda (checked)
         (runlog-list--in buffer
           (when (and (minibufferp) (equal text (minibuffer-contents-no-properties)))
             (let ((err (runlog-client-get checked :error)))
               ;; what is not finished is no mistake yet
               (when (and err (< (runlog-text-utf16-index text (plist-get err :end))
                                 (length text)))
                 (runlog-list--filter-show err))))))
       #'ignore))))

(defun runlog-list--filter-complete ()
  "Complete fields, operators and values at point."
  (interactive)
  (let* ((text (minibuffer-contents-no-properties))
         (start (minibuffer-prompt-end))
         (checked (runlog-client-await
                   runlog-list--filter-client 'filter/check
                   `(:text ,text
                     :offset ,(runlog-text-utf16-units text (- (point) start)))
                   2))
         (completions (append (plist-get checked :completions) nil)))
    (if (not completions)
        (minibuffer-message "Nothing to complete")
      (completion-in-region
       (+ start (runlog-text-utf16-index text (plist-get (car completions) :from)))
       (point)
       (mapcar (lambda (completion) (plist-get completion :text)) completions)))))

(defun runlog-list--filter-exit ()
  "Take the filter, if it is one."
  (interactive)
  (let* ((text (minibuffer-contents-no-properties))
         (checked (runlog-client-await runlog-list--filter-client 'filter/check
                                       `(:text ,text) 5))
         (err (runlog-client-get checked :error)))
    (if (not err)
        (exit-minibuffer)
      (runlog-list--filter-show err)
      (goto-char (+ (minibuffer-prompt-end)
                    (runlog-text-utf16-index text (plist-get err :offset)))))))

(defvar runlog-list--filter-map
  (let ((map (make-sparse-keymap)))
    (set-keymap-parent map minibuffer-local-map)
    (define-key map "\t" #'runlog-list--filter-complete)
    (define-key map "\r" #'runlog-list--filter-exit)
    (define-key map "\n" #'runlog-list--filter-exit)
    map)
  "Keys where a filter is written.")

(defvar runlog-list--filter-history nil "Filters that were written.")

(defun runlog-list--read-filter ()
  "Read a filter."
  (let ((runlog-list--filter-client runlog-client)
        (runlog-list--filter-overlays nil))
    (minibuffer-with-setup-hook
        (lambda ()
          (add-hook 'after-change-functions #'runlog-list--filter-changed nil t))
      (read-from-minibuffer "Filter (TAB completes): " runlog-list-where
                            runlog-list--filter-map nil 'runlog-list--filter-history))))

;;;; The buffer

(defconst runlog-list--keys
  '(("RET" runlog-list-open "open the run, or load more")
    ("f" runlog-find-file "open the run's file")
    ("w" runlog-copy-id "copy its id")
    ("/" runlog-list-filter "filter")
    ("s" runlog-list-choose-status "only one status")
    ("S" runlog-list-search "search the contents")
    ("x" runlog-list-all "show all again")
    ("+" runlog-list-load-more "load more")
    ("=" runlog-list-compare "compare: choose a run, then another")
    ("d" runlog-list-delete "delete the run, or those in the region")
    ("u" runlog-undo "undo the last deletion")
    ("*" runlog-pin "pin or unpin")
    ("t" runlog-tag "tags")
    ("N" runlog-note "note")
    ("!" runlog-problems "list files with problems")
    ("g" revert-buffer "ask again")
    ("R" runlog-choose "choose another folder")
    ("q" quit-window "close")
    ("?" runlog-help "this help"))
  "Keys of `runlog-list-mode'.")

(defvar runlog-list-mode-map (runlog-keymap runlog-list--keys)
  "Keys of `runlog-list-mode'.")

(define-derived-mode runlog-list-mode tabulated-list-mode "Runlog"
  "The list of a root, newest first, live.

While point is on a run, that stays where it is in the window, however
many come above it; the mode line tells how many there are.

\\{runlog-list-mode-map}"
  (buffer-disable-undo)
  (setq tabulated-list-format runlog-list--format
        tabulated-list-padding 0)
  (tabulated-list-init-header)
  (setq-local revert-buffer-function #'runlog-list-revert
              truncate-lines t
              runlog-row-function #'runlog-list--need-row
              runlog-keys runlog-list--keys
              runlog-list--by-key (make-hash-table :test #'equal)
              runlog-list--matches (make-hash-table :test #'equal)
              runlog-list--gone (make-hash-table :test #'equal)
              runlog-list--printed (make-hash-table :test #'equal)
              bidi-paragraph-direction 'left-to-right
              mode-line-format
              '("%e" mode-line-front-space (:eval (runlog-list--mode-line))
                "  " mode-line-misc-info))
  (add-hook 'window-size-change-functions #'runlog-list--resized nil t)
  (add-hook 'window-buffer-change-functions #'runlog-list--came nil t)
  (hl-line-mode))

(defun runlog-list--close ()
  "The buffer is killed."
  (pcase-dolist (`(,_ . ,timer) runlog-list--timers)
    (when timer
      (cancel-timer timer)))
  (when runlog-client
    (when runlog-list--subscription
      (runlog-client-unsubscribe runlog-client runlog-list--subscription))
    (setf (runlog-client-watchers runlog-client)
          (delq runlog-list--watcher (runlog-client-watchers runlog-client)))
    (runlog-client-release runlog-client)))

(defun runlog-list-buffer (client)
  "Return the buffer of CLIENT's list."
  (or (cl-find-if (lambda (buffer)
                    (with-current-buffer buffer
                      (and (derived-mode-p 'runlog-list-mode)
                           (eq runlog-client client))))
                  (buffer-list))
      (let ((buffer (generate-new-buffer
                     (format "*runlog: %s*" (abbreviate-file-name
                                             (runlog-client-root client))))))
        (with-current-buffer buffer
          (runlog-list-mode)
          (setq runlog-client client
                default-directory (file-name-as-directory (runlog-client-folder client))
                runlog-list--watcher
                (lambda ()
                  (runlog-list--in buffer
                    (when (eq (runlog-client-state client) 'ready)
                      (runlog-list-refresh))
                    (runlog-list--paint))))
          (push runlog-list--watcher (runlog-client-watchers client))
          (add-hook 'kill-buffer-hook #'runlog-list--close nil t)
          (runlog-list--paint)
          (runlog-client-retain client)
          (runlog-list-refresh))
        buffer)))

(provide 'runlog-list)
;;; runlog-list.el ends here
