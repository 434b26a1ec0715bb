;;; runlog.el --- The run history of AI-agent workflows, live  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The runlog authors

;; Author: The runlog authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "28.2"))
;; Keywords: tools, processes
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; M-x runlog lists the runs that a workflow engine saves as
;; projects/{project}/executions/{id}.json, newest first, and follows them.
;; It asks the daemon `runlog serve --shared', which all windows and the command
;; line share; filters, searches and sums are the daemon's.
;;
;; M-x runlog-today-mode shows today's cost in the mode line.

;;; Code:

(require 'cl-lib)
(require 'runlog-client)
(require 'runlog-list)
(require 'runlog-run)
(require 'runlog-today)
(require 'runlog-text)

(defconst runlog--answer-within 5
  "Seconds that the program has to say which folder it serves.")

(defun runlog--clients (folder chosen found)
  "Return clients of the roots of FOLDER, as FOUND has them, which was printed.
Nil if that tells of none.  If FOLDER was CHOSEN by somebody, it is the root
itself where it holds none."
  (let ((client (lambda (root given &optional tried)
                  (runlog-client-of root :folder folder :given given :tried tried)))
        (root (and (listp found) (plist-get found :root)))
        (candidates (and (listp found) (plist-get found :candidates))))
    (cond
     ((and (stringp root) (or (plist-get found :exists) (not chosen)))
      (list (funcall client root (plist-get found :exists) (plist-get found :tried))))
     ((stringp root) (list (funcall client folder t)))
     ((and (listp candidates) (cl-every #'stringp candidates))
      (mapcar (lambda (root) (funcall client root t)) candidates)))))

(defun runlog--find (folder chosen done)
  "Ask the program for the roots of FOLDER, and call DONE with clients of them.
If it does not say, with nil and a text that tells why.  If FOLDER was CHOSEN by
somebody, it is the root itself where it holds none.  Return the process that is
asked, if there is one."
  (when (file-remote-p folder)
    (user-error "Runs are listed where they are: log in to that machine and run Emacs there"))
  (let* ((folder (directory-file-name (expand-file-name folder)))
         (program (executable-find runlog-command))
         (default-directory (file-name-as-directory folder)))
    (cond
     ((not (file-directory-p folder)) (user-error "There is no folder %s" folder))
     ((not program)
      (funcall done
               (list (runlog-client-of (expand-file-name "projects" folder) :folder folder))
               nil)
      nil)
     (t
      (let* ((stdout (generate-new-buffer " *runlog root*"))
             (stderr (generate-new-buffer " *runlog root stderr*"))
             (process
              (make-process
               :name "runlog root" :command (list program "root" "--json")
               :connection-type 'pipe :coding 'utf-8 :noquery t :buffer stdout :stderr stderr
               :sentinel
               (lambda (process _)
                 (unless (process-live-p process)
                   (let* ((said (with-current-buffer stdout (string-trim (buffer-string))))
                          (noise (with-current-buffer stderr (string-trim (buffer-string))))
                          (roots (runlog--clients
                                  folder chosen
                                  (ignore-errors
                                    (json-parse-string said :object-type 'plist
                                                       :array-type 'list
                                                       :null-object nil :false-object nil)))))
                     (kill-buffer stdout)
                     (kill-buffer stderr)
                     (funcall done roots
                              (format "%s does not say which folder it serves: %s" program
                                      (if (process-get process 'runlog-late)
                                          "it does not answer"
                                        (string-trim (concat noise "\n" said)))))))))))
        (set-process-sentinel (get-buffer-process stderr) #'ignore)
        (set-process-query-on-exit-flag (get-buffer-process stderr) nil)
        (run-at-time runlog--answer-within nil
                     (lambda ()
                       (when (process-live-p process)
                         (process-put process 'runlog-late t)
                         (delete-process process))))
        process)))))

(defun runlog-roots (folder chosen)
  "Return clients of the roots that the program has for FOLDER.
If it was CHOSEN by somebody, it is the root itself where it holds none.  This
waits for the program, some seconds at most."
  (let* (roots trouble
         (process (runlog--find folder chosen
                                (lambda (found why) (setq roots found trouble why)))))
    (when process
      (unwind-protect
          (while (or (process-live-p process)
                     (accept-process-output process))
            (accept-process-output process 0.1))
        ;; its sentinel is called now; by itself it might be only after what is typed is read
        (delete-process process)))
    (or roots (user-error "%s" trouble))))

(defun runlog--show (roots)
  "Show the list of one of ROOTS, clients; with several, ask which."
  (let ((buffer
         (runlog-list-buffer
          (if (not (cdr roots))
              (car roots)
            (let ((root (completing-read "Which runs? "
                                         (mapcar #'runlog-client-root roots) nil t)))
              (cl-find root roots :key #'runlog-client-root :test #'equal))))))
    ;; those that were not chosen are not needed
    (setq runlog-client--all
          (cl-remove-if (lambda (client) (zerop (runlog-client-users client)))
                        runlog-client--all))
    (pop-to-buffer-same-window buffer)))

;;;###autoload
(defun runlog (&optional folder)
  "Open the list of FOLDER, by default the current one.
With a prefix argument, ask for the folder.  Where several could be
meant, ask which."
  (interactive (list (and current-prefix-arg (read-directory-name "Folder: "))))
  (runlog--show (runlog-roots (or folder default-directory) (and folder t))))

(defun runlog-choose (folder)
  "Open the list of FOLDER, another one."
  (interactive (list (read-directory-name "Folder: " nil nil t)))
  (runlog folder))

(provide 'runlog)
;;; runlog.el ends here
