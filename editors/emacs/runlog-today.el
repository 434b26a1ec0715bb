;;; runlog-today.el --- Today's cost in the mode line  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The runlog authors
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; What today has cost and how many runs are going on, as the daemon has them.
;; Asked for when something changed, every two seconds at most, and when the day
;; turns; while something is running from time to time too, for what is silent
;; for too long turns stale without a change.

;;; Code:

(require 'runlog-client)
(require 'runlog-list)
(require 'runlog-text)

(declare-function runlog--find "runlog")

(defconst runlog-today--every 2.0
  "Seconds between two questions.")

(defconst runlog-today--running-every 30.0
  "Seconds between two questions while something is running.")

(defvar runlog-today--retry-every 60.0
  "Seconds before a program that was given up is tried again.")

(defvar runlog-today-string ""
  "What the mode line shows.")
(put 'runlog-today-string 'risky-local-variable t)

(defvar runlog-today--asked nil "The process that is asked which folder it serves.")
(defvar runlog-today--client nil "The client that is asked.")
(defvar runlog-today--subscription nil "The subscription to changes.")
(defvar runlog-today--timer nil "When it is asked next.")
(defvar runlog-today--running-timer nil "When it is asked what is still running.")
(defvar runlog-today--retry-timer nil "When a program that was given up is tried again.")
(defvar runlog-today--midnight nil "When the day turns.")
(defvar runlog-today--awaiting nil "When it is looked next whether there are runs.")
(defvar runlog-today--asked-at 0 "When it was asked last.")
(defvar runlog-today--cost nil "What today has cost.")
(defvar runlog-today--running nil "How many runs are going on.")

(defun runlog-today--draw ()
  "Say what is known."
  (setq runlog-today-string
        (concat
         (and runlog-today--cost (format " %s today" (runlog-text-cost runlog-today--cost)))
         (and runlog-today--running (> runlog-today--running 0)
              (format " · %d running" runlog-today--running))))
  (force-mode-line-update t))

(defun runlog-today--soon ()
  "Ask soon."
  (unless runlog-today--timer
    (setq runlog-today--timer
          (run-at-time (max 0 (- (+ runlog-today--asked-at runlog-today--every) (float-time)))
                       nil #'runlog-today--ask))))

(defun runlog-today--ask ()
  "Ask for what is shown."
  (setq runlog-today--timer nil
        runlog-today--asked-at (float-time))
  (when runlog-today--client
    (runlog-client-request
     runlog-today--client 'executions/stats
     `(:where "startedAt >= today" :timezone ,(runlog-zone))
     (lambda (stats)
       (setq runlog-today--cost (runlog-client-get stats :totalCostUSD))
       (runlog-today--draw))
     #'ignore)
    (runlog-client-request
     runlog-today--client 'executions/count
     '(:where "status = running and not stale")
     (lambda (counted)
       (setq runlog-today--running (runlog-client-get counted :count))
       (runlog-today--draw)
       (runlog-today--while-running))
     (lambda (_) (runlog-today--while-running)))))

(defun runlog-today--while-running ()
  "Ask again in a while, if something is running."
  (when (and runlog-today--client runlog-today--running (> runlog-today--running 0)
             (not runlog-today--running-timer))
    (setq runlog-today--running-timer
          (run-at-time runlog-today--running-every nil
                       (lambda ()
                         (setq runlog-today--running-timer nil)
                         (runlog-today--soon))))))

(defun runlog-today--watch ()
  "What is shown is of no use while the program is given up; ask once it is there."
  (pcase (runlog-client-state runlog-today--client)
    ('ready (runlog-today--soon))
    ((or 'missing 'failed)
     (setq runlog-today--cost nil
           runlog-today--running nil)
     (runlog-today--draw)
     (unless runlog-today--retry-timer
       (setq runlog-today--retry-timer
             (run-at-time runlog-today--retry-every nil
                          (lambda ()
                            (setq runlog-today--retry-timer nil)
                            (runlog-client-retry runlog-today--client))))))))

(defun runlog-today--left-of-day (now)
  "Return how many seconds the day of NOW, those since the epoch, still has.
It may be one of 23 hours, or of 25."
  (let ((date (decode-time now)))
    (- (time-convert (encode-time (list 0 0 0 (1+ (decoded-time-day date))
                                        (decoded-time-month date) (decoded-time-year date)
                                        nil -1 nil))
                     'integer)
       now)))

(defun runlog-today--at-midnight ()
  "Ask, and again when the day has turned."
  (runlog-today--soon)
  (setq runlog-today--midnight
        (run-at-time (1+ (runlog-today--left-of-day (time-convert nil 'integer)))
                     nil #'runlog-today--at-midnight)))

(defun runlog-today--stop ()
  "Ask no more."
  (dolist (timer (list runlog-today--timer runlog-today--running-timer runlog-today--retry-timer
                       runlog-today--midnight runlog-today--awaiting))
    (when timer
      (cancel-timer timer)))
  (when (process-live-p runlog-today--asked)
    (delete-process runlog-today--asked))
  (when runlog-today--client
    (setf (runlog-client-watchers runlog-today--client)
          (delq #'runlog-today--watch (runlog-client-watchers runlog-today--client)))
    (runlog-client-unsubscribe runlog-today--client runlog-today--subscription)
    (runlog-client-release runlog-today--client))
  (setq runlog-today--timer nil
        runlog-today--running-timer nil
        runlog-today--retry-timer nil
        runlog-today--midnight nil
        runlog-today--awaiting nil
        runlog-today--client nil
        runlog-today--cost nil
        runlog-today--running nil
        runlog-today-string "")
  (setq global-mode-string (delq 'runlog-today-string global-mode-string)))

(defun runlog-today--start (roots _)
  "Ask from now on, if ROOTS, clients, are just one, as soon as it is there."
  (let ((client (car roots)))
    (when (and client (not (cdr roots)))
      (when (zerop (runlog-client-users client))
        (setq runlog-client--all (delq client runlog-client--all)))
      (runlog-today--await (runlog-client-root client) (runlog-client-folder client)))))

(defun runlog-today--await (root folder)
  "Ask from now on if ROOT is there, which was looked for in FOLDER.
Otherwise look again in a while: nothing is started where there are no runs."
  (if (not (file-directory-p root))
      (setq runlog-today--awaiting
            (run-at-time runlog-today--every nil #'runlog-today--await root folder))
    (setq runlog-today--awaiting nil
          runlog-today--client (runlog-client-of root :folder folder :given t))
    (push #'runlog-today--watch (runlog-client-watchers runlog-today--client))
    (runlog-client-retain runlog-today--client)
    (setq runlog-today--subscription
          (runlog-client-subscribe runlog-today--client nil
                                   (lambda (_) (runlog-today--soon))))
    (runlog-today--at-midnight)))

;;;###autoload
(define-minor-mode runlog-today-mode
  "Show today's cost and how many runs are going on in the mode line.
The runs are those of the folder in which this is turned on; where
there are none yet, or it is not clear which, nothing is started."
  :global t
  :group 'runlog
  (runlog-today--stop)
  (when runlog-today-mode
    (require 'runlog)
    (setq runlog-today--asked
          (ignore-errors (runlog--find default-directory nil #'runlog-today--start)))
    (setq global-mode-string
          (append (or global-mode-string '("")) '(runlog-today-string)))))

(provide 'runlog-today)
;;; runlog-today.el ends here
