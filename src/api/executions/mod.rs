//! `executions/…`: the runs.

pub mod annotate;
pub(in crate::api) mod asked;
pub mod changes;
pub mod count;
pub mod delete;
pub mod delete_all;
pub mod delete_matching;
pub mod diff;
pub mod export;
pub mod get;
pub mod list;
pub mod prune;
pub mod restore;
pub mod save;
pub mod search;
pub mod series;
pub mod start;
pub mod stats;
pub mod subscribe;
pub mod update;

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Context, Error, ErrorKind, place, taking_back};
use crate::history::thread::{Undone, on_a_thread};
use crate::history::{History, HistoryError, Patience, Stop, Wanted};
use crate::model::{ExecutionId, ProjectId, RunKey, Status};

/// One status or several, any strings.
#[derive(Debug, Clone)]
pub struct Statuses(pub BTreeSet<Status>);

/// How many there may be: a subscription keeps them, and is compared with each change.
const STATUSES_MAX: usize = 100;
/// A longer one no run has.
const STATUS_BYTES_MAX: usize = 64;

/// The status that is called so, if a run can have it.
fn status(text: &str) -> Option<Status> {
    (text.len() <= STATUS_BYTES_MAX).then(|| Status::from_text(text))
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Statuses;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a status or an array of them")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Statuses, E> {
                Ok(Statuses(status(text).into_iter().collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Statuses, A::Error> {
                let mut statuses = BTreeSet::new();
                while let Some(text) = seq.next_element::<String>()? {
                    statuses.extend(status(&text));
                    if statuses.len() > STATUSES_MAX {
                        let message = format!("at most {STATUSES_MAX} statuses");
                        return Err(A::Error::custom(message));
                    }
                }
                Ok(Statuses(statuses))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One status, or at most 100; any strings, of which no run has one of more \
                than 64 bytes.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } }
            ]
        })
    }
}

/// Waits for what a read needs: the first index of its project and, with `sync`, everything done to
/// the files before it.
///
/// # Errors
/// 503 when it takes too long.
pub(super) async fn wait_for(
    context: &Context,
    project: Option<&ProjectId>,
    sync: Option<bool>,
) -> Result<(), HistoryError> {
    context.history.ready(project).await?;
    if sync == Some(true) {
        context.history.sync().await?;
    }
    Ok(())
}

/// The same for a read that may be content with what is there. Returns whether the index is complete
/// for it.
///
/// # Errors
/// 503 when it takes too long.
pub(super) async fn prepare(
    context: &Context,
    project: Option<&ProjectId>,
    sync: Option<bool>,
    allow_partial: Option<bool>,
) -> Result<bool, Error> {
    if allow_partial == Some(true) && !context.history.is_ready(project) {
        return Ok(false);
    }
    let waited = wait_for(context, project, sync).await;
    waited.map(|()| true).map_err(Error::or_partial)
}

/// Which run a request means: by its id, by a beginning of it that only one run has, or, if it is
/// called `last`, the newest.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// Only this project's; any if absent.
    pub project: Option<ProjectId>,
    /// The id, its beginning, or `last`.
    pub execution: ExecutionId,
}

impl Named {
    /// The run's own key, if it is one.
    fn key(&self) -> Option<RunKey> {
        Some(RunKey {
            project: self.project.clone()?,
            execution: self.execution.clone(),
        })
    }
}

/// What `read` makes of the run that `named` means, and which one that is. A file of just this
/// project and id is read whether the index has seen it or not; only where there is none is another
/// looked for, which waits for the index. The file of a listed run may be away for a moment. Taken back
/// when the request is.
///
/// # Errors
/// 404, 409 ambiguous, 503, and those of `read`.
pub(super) async fn read_named<T: Send + 'static>(
    context: &Context,
    named: Named,
    sync: Option<bool>,
    read: impl Fn(&History, &RunKey, &Stop) -> Result<T, HistoryError> + Send + Sync + 'static,
) -> Result<(RunKey, T), Error> {
    let wanted = Wanted::default();
    let (stop, read) = (wanted.stop(), Arc::new(read));
    let mut patience = Patience::default();
    let mut read_patiently = async |key: &RunKey| {
        loop {
            let (read, stop, named) = (Arc::clone(&read), stop.clone(), key.clone());
            let done = blocking(context, move |history| Ok(read(history, &named, &stop))).await?;
            match done {
                Err(error) if patience.lasts() && context.history.may_return(key, &error) => {
                    patience.wait().await;
                }
                done => return Ok::<_, Error>(done),
            }
        }
    };
    if let Some(key) = named.key() {
        match read_patiently(&key).await? {
            Err(HistoryError::NotFound(_)) => {}
            done => return Ok((key, done?)),
        }
    }
    wait_for(context, named.project.as_ref(), sync).await?;
    let stopped = stop.clone();
    let key = blocking(context, move |history| {
        history.meant(named.project.as_ref(), &named.execution, &stopped)
    })
    .await?;
    let read = read_patiently(&key).await??;
    Ok((key, read))
}

/// What `work` makes of a run; if that is listed and its file is away, it is waited for a moment first.
///
/// # Errors
/// Those of `work`.
pub(super) async fn when_there<T, W>(
    context: &Context,
    key: RunKey,
    mut work: W,
) -> Result<T, Error>
where
    T: Send + 'static,
    W: FnOnce(&History, &RunKey) -> Result<T, HistoryError> + Send + 'static,
{
    let mut patience = Patience::default();
    loop {
        let (run, patient) = (key.clone(), patience.lasts());
        let done = blocking(context, move |history| {
            match patient && history.is_away(&run) {
                true => Ok(Err(work)),
                false => work(history, &run).map(Ok),
            }
        });
        match done.await? {
            Ok(done) => return Ok(done),
            Err(undone) => work = undone,
        }
        patience.wait().await;
    }
}

/// Chooses what a change is about. Until that is done the change can be taken back.
///
/// # Errors
/// Those of `work`, and that of a request that was taken back.
pub(in crate::api) async fn choosing<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&History, &Stop) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Error> {
    let wanted = Wanted::default();
    let stop = wanted.stop();
    tokio::select! {
        biased;
        () = taking_back::here() => Err(Error::cancelled()),
        chosen = blocking(context, move |history| work(history, &stop)) => chosen,
    }
}

/// Carries out a change of many, which looks from one to the next whether its request was taken back:
/// what was done by then is its answer. That nobody waits for the answer any more stops nothing.
///
/// # Errors
/// Those of `work`.
pub(in crate::api) async fn stopping<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&History, &Stop) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Error> {
    let stop = Stop::default();
    let seen = stop.clone();
    let done = blocking(context, move |history| work(history, &seen));
    tokio::pin!(done);
    tokio::select! {
        biased;
        () = taking_back::here() => stop.set(),
        done = &mut done => return done,
    }
    done.await
}

/// Runs what does file IO where that may block. It goes on to its end, in its request's place,
/// whoever waits for it.
pub(in crate::api) async fn blocking<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Error> {
    let (history, place) = (Arc::clone(&context.history), place::here());
    let work = move || {
        let _place = place;
        work(&history)
    };
    match on_a_thread(work).await {
        Ok(done) => Ok(done?),
        Err(Undone::NoThread) => Err(HistoryError::NoThread.into()),
        Err(Undone::Ended) => Err(Error::new(
            ErrorKind::Internal,
            "the request ended early; this is a defect of runlog",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::api::table::Method;
    use crate::history::thread::tests::NONE;
    use crate::history::{Moment, Options};
    use crate::store::Expect;
    use crate::watch::Hint;

    async fn call<M: Method>(context: &Arc<Context>, params: Value) -> Result<Value, Error>
    where
        M::Result: serde::Serialize,
    {
        let params = serde_json::from_str(&params.to_string()).unwrap();
        let result = M::call(Arc::clone(context), params).await?;
        Ok(serde_json::to_value(result).unwrap())
    }

    #[test]
    fn a_client_cannot_have_more_statuses_kept_than_there_are() {
        let read = |text: &str| serde_json::from_str::<Statuses>(text);
        let many = |count: usize| serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap();
        let quoted = |text: String| {
            text.replace(',', "\",\"")
                .replace('[', "[\"")
                .replace(']', "\"]")
        };
        assert_eq!(read(&quoted(many(100))).unwrap().0.len(), 100);
        let refused = read(&quoted(many(101))).unwrap_err().to_string();
        assert!(refused.contains("at most 100 statuses"), "{refused}");
        assert_eq!(read(r#"["a","a"]"#).unwrap().0.len(), 1);
        // which no run has
        let long = format!("\"{}\"", "x".repeat(65));
        assert_eq!(read(&long).unwrap().0.len(), 0);
        assert_eq!(read(&format!(r#"["a",{long}]"#)).unwrap().0.len(), 1);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_has_its_place_until_its_end() {
        let root = tempfile::tempdir().unwrap();
        let (_, context) = begun(&root);
        let places = place::Places::new(1, &Arc::default());
        let (began, has_begun) = tokio::sync::oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let work = blocking(&context, move |_| {
            began.send(()).unwrap();
            let _ = released.recv();
            Ok(())
        });
        tokio::select! {
            _ = place::scope(Some(places.take()), work) => unreachable!("it was let go on"),
            done = has_begun => done.unwrap(),
        }
        assert!(places.is_full());
        drop(release);
        while places.is_full() {
            tokio::task::yield_now().await;
        }
    }

    /// And what it did by then is the answer.
    #[tokio::test]
    async fn what_changes_many_hears_that_it_is_taken_back() {
        let root = tempfile::tempdir().unwrap();
        let (_, context) = begun(&root);
        let token = tokio_util::sync::CancellationToken::new();
        let (began, has_begun) = tokio::sync::oneshot::channel();
        let work = stopping(&context, move |history, stop| {
            began.send(()).unwrap();
            while history.going(stop).is_ok() {
                std::thread::yield_now();
            }
            Ok(7)
        });
        let work = taking_back::scope(token.clone(), work);
        let take_back = async {
            has_begun.await.unwrap();
            token.cancel();
        };
        let (done, ()) = tokio::join!(work, take_back);
        assert_eq!(done.unwrap(), 7);
    }

    /// A history over runs that are there before it, `x` and `y` of the projects `a` and `b`; nothing
    /// is known of them yet.
    fn begun(root: &tempfile::TempDir) -> (Arc<History>, Arc<Context>) {
        for run in [
            "a/executions/x",
            "a/executions/y",
            "b/executions/x",
            "b/executions/y",
        ] {
            let file = root.path().join(format!("{run}.json"));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, r#"{"status":"completed"}"#).unwrap();
            std::fs::write(root.path().join(format!("{run}-bad.json")), "{").unwrap();
        }
        let history = Arc::new(History::new(root.path().to_owned(), Options::default()));
        history.begin(Moment::now());
        let context = Context::over(&history);
        (history, context)
    }

    fn known(root: &tempfile::TempDir) -> (Arc<History>, Arc<Context>) {
        let (history, context) = begun(root);
        while history.first_step() {}
        while history.pass(Moment::now()) {}
        (history, context)
    }

    #[tokio::test]
    async fn a_cursor_goes_on_with_the_question_that_it_was_given_for_and_with_no_other() {
        async fn pages<M: Method>(context: &Arc<Context>, asked: &Value, others: &[Value])
        where
            M::Result: serde::Serialize,
        {
            let page = call::<M>(context, asked.clone()).await.unwrap();
            let with_it = |asked: &Value| {
                let mut next = asked.clone();
                next["cursor"] = page["nextCursor"].clone();
                assert!(next["cursor"].is_string(), "{page}");
                next
            };
            call::<M>(context, with_it(asked)).await.unwrap();
            for other in others {
                let refused = call::<M>(context, with_it(other)).await.unwrap_err();
                assert_eq!(refused.kind, ErrorKind::InvalidParams, "{other}");
                assert!(refused.message.contains("another query"), "{refused:?}");
            }
        }
        let root = tempfile::tempdir().unwrap();
        let (_, context) = known(&root);
        let of = |project: &str| json!({ "projectId": project, "limit": 1 });
        let all = json!({ "limit": 1 });
        let others = [of("b"), all];
        pages::<crate::api::server::problems::Problems>(&context, &of("a"), &others).await;
        for id in ["x", "y"] {
            let run = json!({ "projectId": "a", "executionId": id });
            call::<delete::Delete>(&context, run).await.unwrap();
        }
        pages::<crate::api::trash::List>(&context, &of("a"), &others).await;
        let piece =
            |format: &str, rows: &str| json!({ "format": format, "rows": rows, "maxBytes": 1 });
        let others = [
            piece("json", "summaries"),
            piece("jsonl", "records"),
            piece("csv", "summaries"),
        ];
        pages::<export::Export>(&context, &piece("jsonl", "summaries"), &others).await;
    }

    #[tokio::test]
    async fn what_is_old_leaves_the_trash_also_where_nothing_can_come_into_it() {
        let root = tempfile::tempdir().unwrap();
        let (history, context) = known(&root);
        let old = root.path().join("b/.runlog/trash/5-00000000000000aa");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("z.json"), "{}").unwrap();
        std::fs::write(root.path().join("a/.runlog"), "in the way").unwrap();
        let policy = json!({
            "rules": [{ "projectId": "a", "maxCount": 0 }], "trash": { "maxAge": "1d" },
            "keepPinned": false
        });
        let params = json!({ "policy": policy, "everything": true });
        let refused = call::<prune::Prune>(&context, params).await;
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(history.sizes().0, 4, "nothing went");
        assert!(!old.join("z.json").exists());
    }

    #[tokio::test]
    async fn who_hears_of_some_runs_misses_nothing_where_there_is_no_thread_for_once() {
        let root = tempfile::tempdir().unwrap();
        let (history, context) = known(&root);
        let mut cursor = crate::index::Cursor::after(history.clock().tick);
        let from = cursor.tick();
        for run in ["x", "y"] {
            let file = root.path().join(format!("a/executions/{run}.json"));
            std::fs::write(file, r#"{"status":"failed"}"#).unwrap();
        }
        history.hint(Hint::Everything, std::time::Instant::now());
        while history.pass(Moment::now()) {}
        let asked = asked::Asked::of(None, None, Some("updatedAt >= 2020-01-01"), None).unwrap();
        NONE.set(true);
        let refused = changes::next(&context, &mut cursor, &asked, 10, 100).await;
        NONE.set(false);
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Overloaded);
        assert_eq!(cursor.tick(), from);
        let (found, _) = changes::next(&context, &mut cursor, &asked, 10, 100)
            .await
            .unwrap();
        assert_eq!(found.unwrap().len(), 2);
    }

    #[test]
    fn no_array_is_kept_beyond_what_there_may_be() {
        let read = |count: usize| {
            let texts = serde_json::to_string(&vec!["x"; count]).unwrap();
            serde_json::from_str::<crate::api::params::Texts>(&texts).map(|texts| texts.0.len())
        };
        assert_eq!(read(10_000).unwrap(), 10_000);
        let refused = read(10_001).unwrap_err().to_string();
        assert!(refused.contains("at most 10000"), "{refused}");
    }

    #[tokio::test]
    async fn what_is_restored_is_named_in_one_way() {
        let root = tempfile::tempdir().unwrap();
        let (history, context) = known(&root);
        let asked = json!({ "status": "completed" });
        let gone = call::<delete_matching::DeleteMatching>(&context, asked)
            .await
            .unwrap();
        assert_eq!(gone["count"], 4);
        let batch = &gone["batch"];
        let entry = format!("a/{}/x", batch.as_str().unwrap());
        for params in [
            json!({ "batch": batch, "projectId": "b" }),
            json!({ "batch": batch, "executionId": "x" }),
            json!({ "entries": [entry], "projectId": "a" }),
            json!({ "entries": [entry], "executionId": "y" }),
            json!({ "projectId": "a" }),
        ] {
            let refused = call::<restore::Restore>(&context, params.clone()).await;
            assert_eq!(
                refused.unwrap_err().kind,
                ErrorKind::InvalidParams,
                "{params}"
            );
        }
        assert_eq!(history.sizes().0, 0);
        let back = call::<restore::Restore>(&context, json!({ "batch": batch }))
            .await
            .unwrap();
        assert_eq!(back["count"], 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_index_is_told_of_no_param_that_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (_history, context) = begun(&root);
        let says = async |partial: bool| {
            let answer = match partial {
                true => call::<stats::Stats>(&context, json!({})).await,
                false => call::<crate::api::server::problems::Problems>(&context, json!({})).await,
            };
            let error = answer.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotReady);
            error.message.contains("allowPartial")
        };
        assert!(says(true).await);
        assert!(!says(false).await);
    }

    #[test]
    fn a_filter_that_names_another_project_finds_nothing_in_the_one_that_is_meant() {
        let project = ProjectId::parse("a").unwrap();
        let asked = |filter| {
            let asked = asked::Asked::of(Some(project.clone()), None, Some(filter), None).unwrap();
            assert_eq!(asked.plain.project.as_ref(), Some(&project));
            asked.plain.statuses.map(|statuses| statuses.len())
        };
        assert_eq!(asked("project = b"), Some(0));
        assert_eq!(asked("project = a"), None);
    }

    /// A person saves by backup-and-rename, while others change the run.
    #[tokio::test(start_paused = true)]
    async fn who_changes_a_run_waits_a_moment_for_its_file() {
        let root = tempfile::tempdir().unwrap();
        let history = Arc::new(History::new(root.path().to_owned(), Options::default()));
        let context = Context::over(&history);
        let key = RunKey {
            project: ProjectId::parse("p").unwrap(),
            execution: ExecutionId::parse("x").unwrap(),
        };
        let saved = history
            .save(&key, r#"{"id":"x"}"#, &Expect::Anything)
            .unwrap();
        let file = root.path().join("p/executions/x.json");
        let kept = root.path().join("kept");
        let away = || std::fs::rename(&file, &kept).unwrap();
        let back_after = async |millis| {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            std::fs::rename(&kept, &file).unwrap();
        };
        let named = json!({ "projectId": "p", "executionId": "x" });
        let mut tags = named.clone();
        tags["addTags"] = json!(["t"]);
        let save = json!({
            "projectId": "p", "execution": { "id": "x" }, "ifVersion": saved.version
        });
        for number in 0..3 {
            let change = async || match number {
                0 => call::<annotate::Annotate>(&context, tags.clone()).await,
                1 => call::<save::Save>(&context, save.clone()).await,
                _ => call::<delete::Delete>(&context, named.clone()).await,
            };
            away();
            let clock = history.clock();
            let began = tokio::time::Instant::now();
            let (done, ()) = tokio::join!(change(), back_after(80));
            assert_eq!(began.elapsed(), Duration::from_millis(80));
            match number {
                0 => assert_eq!(done.unwrap_err().kind, ErrorKind::ExecutionNotFound),
                1 => assert_eq!(done.unwrap_err().kind, ErrorKind::VersionConflict),
                // believed by then
                _ => {
                    assert_eq!(done.unwrap()["deleted"], false);
                    assert!(history.summary(&key).is_none());
                    let mut now = Moment::now();
                    history.hint(Hint::Run(key.clone()), now.instant);
                    now.instant += Duration::from_secs(1);
                    history.pass(now);
                }
            }
            assert!(number > 1 || history.clock() == clock, "something was told");
            away();
            let (done, ()) = tokio::join!(change(), back_after(25));
            let done = done.unwrap();
            assert!(number < 2 || done["deleted"] == true, "{done}");
        }
        assert!(!file.exists());
        let began = tokio::time::Instant::now();
        let done = call::<delete::Delete>(&context, named).await.unwrap();
        assert_eq!(done["deleted"], false);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
