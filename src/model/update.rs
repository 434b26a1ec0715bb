//! Changing a record that is stored, as text: what its recorder adds while the run goes on.
//!
//! Section 4 of the protocol (`executions/update`). Nothing that an update does not name is
//! touched: unknown members, number spellings and lone surrogates stay as they stand in the file.
//! Amounts are added as decimals, never as floats.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::decimal::{Exact, scaled};
use super::json::{decode_string, elements, members, spelt_members, string_bytes};
use super::{Millis, Money, Status, Version};

/// The members that identify a run or have a rule of their own, which an update cannot set.
pub const NOT_SET: [&str; 3] = ["id", "projectId", "steps"];

/// What is to be changed. The texts are JSON.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Top-level members and their new values, as they were spelt; `null` removes one.
    pub set: Vec<(Box<str>, Box<str>)>,
    /// What comes on top.
    pub add: Add,
    /// Steps, each an object with an id.
    pub steps: Vec<Box<str>>,
    /// Only on top of this version.
    pub if_version: Option<Version>,
}

/// Amounts to be added.
#[derive(Debug, Clone, Copy, Default)]
pub struct Add {
    /// In US dollars.
    pub cost: Option<Exact>,
    /// Input tokens.
    pub input: Option<Exact>,
    /// Output tokens.
    pub output: Option<Exact>,
}

impl Update {
    /// Whether it says nothing but that the recorder is alive.
    #[must_use]
    pub fn is_heartbeat(&self) -> bool {
        let Add {
            cost,
            input,
            output,
        } = self.add;
        self.set.is_empty()
            && self.steps.is_empty()
            && cost.is_none()
            && input.is_none()
            && output.is_none()
    }
}

/// Why a record cannot be changed so. The record is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// It has ended.
    #[error("the execution has ended as {status}")]
    Finished {
        /// How.
        status: Status,
    },
    /// What the record holds cannot be added to.
    #[error("the record's {member} is no amount that can be added to")]
    NotAnAmount {
        /// Its name.
        member: &'static str,
    },
    /// The sum is more than can be counted exactly.
    #[error("the sum of {member} is too large, or has too many digits, to be exact")]
    Inexact {
        /// Its name.
        member: &'static str,
    },
    /// What the record holds in place of steps.
    #[error("the record's steps are no array")]
    NoSteps,
}

/// A member of an object: its name as it is spelt, quotes included, and its value.
#[derive(Debug, Clone)]
struct Member<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

/// An object on its way from one text to another.
#[derive(Debug, Clone, Default)]
pub struct Object<'a>(Vec<Member<'a>>);

impl<'a> Object<'a> {
    /// The object that `text` is.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        Self(
            spelt_members(text)
                .map(|(name, value)| Member {
                    name: name.into(),
                    value: value.into(),
                })
                .collect(),
        )
    }

    /// The value of the member `name`, if it is there and not null; the last if there are several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let member = self.0.iter().rev().find(|held| held.is(name.as_bytes()))?;
        Some(&*member.value).filter(|value| *value != "null")
    }

    /// Gives the member spelt `name` this value, where it stands, or else as the last one.
    pub fn put(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.change([(name, Some(value))]);
    }

    /// Puts every member of `text` in.
    pub fn overlay(&mut self, text: &'a str) {
        self.change(spelt_members(text).map(|(name, value)| (name, Some(value))));
    }

    /// Gives each member spelt so its value, as [`Object::put`] does, one after the other, or takes it
    /// out. Costs its own members and the changes.
    pub fn change<N: Into<Cow<'a, str>>, V: Into<Cow<'a, str>>>(
        &mut self,
        changes: impl IntoIterator<Item = (N, Option<V>)>,
    ) {
        let held = std::mem::take(&mut self.0);
        let mut held: Vec<Option<Member<'a>>> = held.into_iter().map(Some).collect();
        let mut places: HashMap<Vec<u8>, Vec<usize>> = HashMap::with_capacity(held.len());
        for (at, member) in held.iter().flatten().enumerate() {
            let name = string_bytes(&member.name).into_owned();
            places.entry(name).or_default().push(at);
        }
        for (name, value) in changes {
            let name = name.into();
            let own = places.entry(string_bytes(&name).into_owned()).or_default();
            // the first of repeated ones stays
            for at in own.drain(usize::from(value.is_some()).min(own.len())..) {
                if let Some(member) = held.get_mut(at) {
                    *member = None;
                }
            }
            let Some(value) = value.map(Into::into) else {
                continue;
            };
            match own.first().and_then(|&at| held.get_mut(at)?.as_mut()) {
                Some(member) => member.value = value,
                None => {
                    own.push(held.len());
                    held.push(Some(Member { name, value }));
                }
            }
        }
        self.0 = held.into_iter().flatten().collect();
    }

    /// Its text, without whitespace around members.
    #[must_use]
    pub fn text(&self) -> String {
        let length = |held: &Member<'_>| held.name.len() + held.value.len() + 2;
        let mut text = String::with_capacity(2 + self.0.iter().map(length).sum::<usize>());
        for held in &self.0 {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&held.name);
            text.push(':');
            text.push_str(&held.value);
        }
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        text
    }
}

impl Member<'_> {
    fn is(&self, name: &[u8]) -> bool {
        *string_bytes(&self.name) == *name
    }
}

/// The steps of a record.
#[derive(Debug, Clone, Default)]
struct Steps<'a> {
    /// Their texts.
    all: Vec<Cow<'a, str>>,
    /// Where the last one is that has the id.
    places: HashMap<Cow<'a, [u8]>, usize>,
}

/// A record that updates are applied to, one after the other.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    record: Object<'a>,
    /// Its steps, once one was changed.
    steps: Option<Steps<'a>>,
}

impl<'a> Draft<'a> {
    /// A draft of what the record `text` says.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        Self {
            record: Object::of(text),
            steps: None,
        }
    }

    /// How the run ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Status> {
        ended(&self.record)
    }

    /// Applies `update` at the moment `now`, whole or not at all. Whether its version is the one
    /// expected is for the caller to say.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn apply(&mut self, update: &'a Update, now: Millis) -> Result<(), UpdateError> {
        if let Some(status) = self.ended() {
            return Err(UpdateError::Finished { status });
        }
        let mut record = self.record.clone();
        let value = |value: &'a str| (value != "null").then_some(value);
        let set = update.set.iter();
        record.change(set.map(|(name, to)| (&**name, value(to))));
        add(&mut record, &update.add)?;
        finish(&mut record, now);
        if !update.steps.is_empty() {
            let mut steps = match self.steps.take() {
                Some(steps) => steps,
                None => Steps::of(&self.record)?,
            };
            for step in &update.steps {
                steps.put(step);
            }
            self.steps = Some(steps);
        }
        self.record = record;
        Ok(())
    }

    /// The record as it is now.
    #[must_use]
    pub fn text(&self) -> String {
        let Some(steps) = &self.steps else {
            return self.record.text();
        };
        let steps = &steps.all;
        let length = |step: &Cow<'_, str>| step.len() + 1;
        let mut text = String::with_capacity(2 + steps.iter().map(length).sum::<usize>());
        for step in steps {
            text.push(if text.is_empty() { '[' } else { ',' });
            text.push_str(step);
        }
        text.push(']');
        let mut record = self.record.clone();
        record.put("\"steps\"", text);
        record.text()
    }
}

/// The run that `execution` begins: what the engine would write at its start, overlaid with it.
#[must_use]
pub fn begun(project: &str, id: &str, execution: Option<&str>, now: Millis) -> String {
    // ids hold neither control characters nor backslashes, but may hold quotes
    let spelt = |id: &str| format!("\"{}\"", id.replace('"', "\\\""));
    let mut record = Object::default();
    let ids = [("id", id), ("projectId", project)];
    for (name, id) in ids {
        record.put(format!("\"{name}\""), spelt(id));
    }
    for (name, value) in [
        ("\"status\"", "\"running\"".to_owned()),
        ("\"startedAt\"", format!("\"{now}\"")),
        (
            "\"tokenUsage\"",
            r#"{"input":0,"output":0,"total":0}"#.to_owned(),
        ),
        ("\"costUSD\"", "0".to_owned()),
        ("\"steps\"", "[]".to_owned()),
        ("\"retryCount\"", "0".to_owned()),
    ] {
        record.put(name, value);
    }
    if let Some(execution) = execution {
        record.overlay(execution);
    }
    // null ones are absent
    for (name, id) in ids {
        if record.get(name).is_none() {
            record.put(format!("\"{name}\""), spelt(id));
        }
    }
    finish(&mut record, now);
    record.text()
}

fn ended(record: &Object<'_>) -> Option<Status> {
    let status = Status::from_text(&text_of(record.get("status")?)?);
    status.is_terminal().then_some(status)
}

fn text_of(spelling: &str) -> Option<Cow<'_, str>> {
    spelling.starts_with('"').then(|| decode_string(spelling))
}

/// What a run that has ended says of its end, where its recorder did not.
fn finish(record: &mut Object<'_>, now: Millis) {
    if ended(record).is_none() {
        return;
    }
    if record.get("completedAt").is_none() {
        record.put("\"completedAt\"", format!("\"{now}\""));
    }
    let date = |name| Millis::parse_rfc3339(&text_of(record.get(name)?)?);
    if record.get("duration").is_none()
        && let (Some(from), Some(to)) = (date("startedAt"), date("completedAt"))
        && let Some(duration) = to.0.checked_sub(from.0).filter(|span| *span >= 0)
    {
        record.put("\"duration\"", duration.to_string());
    }
}

fn add(record: &mut Object<'_>, add: &Add) -> Result<(), UpdateError> {
    if let Some(cost) = add.cost {
        const COST: &str = "costUSD";
        let sum = sum(record.get(COST), cost, COST)?;
        // what is beyond would be unknown
        Money::from_spelling(&sum).ok_or(UpdateError::Inexact { member: COST })?;
        record.put("\"costUSD\"", sum);
    }
    if add.input.is_none() && add.output.is_none() {
        return Ok(());
    }
    const TOKENS: &str = "tokenUsage";
    let held = match record.get(TOKENS) {
        Some(held) if !held.starts_with('{') => {
            return Err(UpdateError::NotAnAmount { member: TOKENS });
        }
        held => held.unwrap_or("{}").to_owned(),
    };
    let mut usage = Object::of(&held);
    let input = sum(
        usage.get("input"),
        add.input.unwrap_or_default(),
        "tokenUsage.input",
    )?;
    let output = sum(
        usage.get("output"),
        add.output.unwrap_or_default(),
        "tokenUsage.output",
    )?;
    // a total that counts more than the two keeps what it counts
    let total = match usage.get("total").and_then(Exact::parse) {
        Some(total) => [add.input, add.output]
            .into_iter()
            .flatten()
            .try_fold(total, Exact::plus),
        None => Exact::parse(&input)
            .zip(Exact::parse(&output))
            .and_then(|(input, output)| input.plus(output)),
    };
    let total = total.ok_or(UpdateError::Inexact { member: TOKENS })?;
    let total = total.to_string();
    for (sum, member) in [
        (&input, "tokenUsage.input"),
        (&output, "tokenUsage.output"),
        (&total, TOKENS),
    ] {
        // what is beyond could not be read back
        scaled(sum, 0).ok_or(UpdateError::Inexact { member })?;
    }
    usage.put("\"input\"", input);
    usage.put("\"output\"", output);
    usage.put("\"total\"", total);
    let usage = usage.text();
    record.put("\"tokenUsage\"", usage);
    Ok(())
}

fn sum(held: Option<&str>, more: Exact, member: &'static str) -> Result<String, UpdateError> {
    let held = match held {
        None => Exact::default(),
        Some(held) => Exact::parse(held).ok_or(UpdateError::NotAnAmount { member })?,
    };
    let sum = held.plus(more).map(|sum| sum.to_string());
    // one that could not be read back could not be added to
    sum.filter(|sum| Exact::parse(sum).is_some())
        .ok_or(UpdateError::Inexact { member })
}

/// The id of a step, which is a string, as [`string_bytes`] of it.
#[must_use]
pub fn step_id(step: &str) -> Option<Cow<'_, [u8]>> {
    let id = members(step).filter(|(name, _)| name == "id").last()?.1;
    id.starts_with('"').then(|| string_bytes(id))
}

impl<'a> Steps<'a> {
    fn of(record: &Object<'a>) -> Result<Self, UpdateError> {
        let mut steps = Self::default();
        let Some(held) = record.0.iter().rev().find(|held| held.is(b"steps")) else {
            return Ok(steps);
        };
        // it is as it was read: no update sets it
        let Cow::Borrowed(text) = held.value else {
            return Err(UpdateError::NoSteps);
        };
        match text.as_bytes().first() {
            Some(b'n') => {}
            Some(b'[') => elements(text).for_each(|step| steps.append(step)),
            _ => return Err(UpdateError::NoSteps),
        }
        Ok(steps)
    }

    fn append(&mut self, step: &'a str) {
        if let Some(id) = step_id(step) {
            self.places.insert(id, self.all.len());
        }
        self.all.push(step.into());
    }

    /// What `step` says of the one with its id, or a new one.
    fn put(&mut self, step: &'a str) {
        let place = step_id(step).and_then(|id| self.places.get(&id).copied());
        match place.and_then(|at| self.all.get_mut(at)) {
            Some(text) => {
                let mut merged = Object::of(text);
                merged.overlay(step);
                let merged = merged.text();
                *text = merged.into();
            }
            None => self.append(step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    const NOW: Millis = Millis(1_760_504_600_000);

    fn update(value: Value) -> Update {
        let exact = |value: &Value| Exact::parse(&value.to_string());
        Update {
            set: value["set"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| {
                    let name = serde_json::to_string(name).unwrap();
                    (name.into(), value.to_string().into())
                })
                .collect(),
            add: Add {
                cost: exact(&value["add"]["costUSD"]),
                input: exact(&value["add"]["tokenUsage"]["input"]),
                output: exact(&value["add"]["tokenUsage"]["output"]),
            },
            steps: value["steps"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|step| step.to_string().into())
                .collect(),
            if_version: None,
        }
    }

    fn applied(record: &str, updates: &[Value]) -> Result<String, UpdateError> {
        let updates: Vec<_> = updates.iter().cloned().map(update).collect();
        let mut draft = Draft::of(record);
        for update in &updates {
            draft.apply(update, NOW)?;
        }
        Ok(draft.text())
    }

    fn value(record: &str, updates: &[Value]) -> Value {
        serde_json::from_str(&applied(record, updates).unwrap()).unwrap()
    }

    #[test]
    fn what_an_update_does_not_name_stays_as_it_is_spelt() {
        let record = r#"{"id":"a","odd":1.50e3,"lone":"\ud800","status":"running","steps":[{"id":"1","x":1e400}]}"#;
        assert_eq!(
            applied(
                record,
                &[json!({"set": {"name": "n"}, "steps": [{"id": "1", "status": "failed"}]})]
            )
            .unwrap(),
            r#"{"id":"a","odd":1.50e3,"lone":"\ud800","status":"running","steps":[{"id":"1","x":1e400,"status":"failed"}],"name":"n"}"#
        );
    }

    #[test]
    fn halves_of_characters_are_told_apart() {
        let record = r#"{"\ud800":1,"\udbff":2,"\ufffd":3,"steps":[{"id":"\ud800","v":1},{"id":"\udbff","v":2},{"id":"\ufffd","v":3}]}"#;
        let text = |text: &str| Box::<str>::from(text);
        let update = Update {
            set: vec![
                (text(r#""\uDBFF""#), text("9")),
                (text(r#""\ufffd""#), text("null")),
            ],
            steps: vec![text(r#"{"id":"\udbff","w":3}"#)],
            ..Update::default()
        };
        let mut draft = Draft::of(record);
        draft.apply(&update, NOW).unwrap();
        assert_eq!(
            draft.text(),
            r#"{"\ud800":1,"\udbff":9,"steps":[{"id":"\ud800","v":1},{"id":"\udbff","v":2,"w":3},{"id":"\ufffd","v":3}]}"#
        );
    }

    #[test]
    fn a_repeated_member_is_replaced_by_one() {
        let record = r#"{"name":"a","\u006eame":"b","x":1}"#;
        assert_eq!(
            applied(record, &[json!({"set": {"name": "c"}})]).unwrap(),
            r#"{"name":"c","x":1}"#
        );
        assert_eq!(
            applied(record, &[json!({"set": {"name": null}})]).unwrap(),
            r#"{"x":1}"#
        );
    }

    #[test]
    fn amounts_are_added_exactly_and_the_total_follows() {
        let add = json!({"add": {"costUSD": 0.1, "tokenUsage": {"input": 3, "output": 4}}});
        for (record, cost, tokens) in [
            (
                r#"{"costUSD":0.2}"#,
                "0.3",
                json!({"input": 3, "output": 4, "total": 7}),
            ),
            (
                r#"{"costUSD":1e-9,"tokenUsage":{"input":1,"output":1,"total":10,"cached":8}}"#,
                "0.100000001",
                json!({"input": 4, "output": 5, "total": 17, "cached": 8}),
            ),
            (
                r#"{"costUSD":null,"tokenUsage":{"input":1,"total":null}}"#,
                "0.1",
                json!({"input": 4, "output": 4, "total": 8}),
            ),
        ] {
            let text = applied(record, std::slice::from_ref(&add)).unwrap();
            assert!(text.contains(&format!("\"costUSD\":{cost}")), "{text}");
            let record: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(record["tokenUsage"], tokens);
        }
        let refused = |record: &str, error| {
            assert_eq!(
                applied(record, std::slice::from_ref(&add)),
                Err(error),
                "{record}"
            );
        };
        let member = "costUSD";
        refused(r#"{"costUSD":"0.2"}"#, UpdateError::NotAnAmount { member });
        refused(r#"{"costUSD":9000000000}"#, UpdateError::Inexact { member });
        let member = "tokenUsage";
        refused(r#"{"tokenUsage":7}"#, UpdateError::NotAnAmount { member });
        // what could not be read back
        let most = i64::MAX;
        for (usage, member) in [
            (format!(r#"{{"input":{most}}}"#), "tokenUsage.input"),
            (format!(r#"{{"output":{}}}"#, most - 3), "tokenUsage.output"),
            (format!(r#"{{"total":{}}}"#, most - 6), "tokenUsage"),
            (format!(r#"{{"input":{}}}"#, most - 6), "tokenUsage"),
        ] {
            let record = format!(r#"{{"tokenUsage":{usage}}}"#);
            refused(&record, UpdateError::Inexact { member });
        }
        let record = format!(r#"{{"tokenUsage":{{"input":{}}}}}"#, most - 7);
        assert_eq!(value(&record, &[add])["tokenUsage"]["total"], most);
    }

    #[test]
    fn an_end_is_dated_once_and_nothing_follows_it() {
        let record = r#"{"status":"running","startedAt":"2025-10-15T05:02:46.569Z"}"#;
        let ended = value(record, &[json!({"set": {"status": "completed"}})]);
        assert_eq!(ended["completedAt"], "2025-10-15T05:03:20.000Z");
        assert_eq!(ended["duration"], 33_431);
        let own = json!({"set": {
            "status": "failed", "completedAt": "2025-10-15T05:02:47.569Z", "duration": 7
        }});
        let ended = value(record, std::slice::from_ref(&own));
        assert_eq!(ended["completedAt"], "2025-10-15T05:02:47.569Z");
        assert_eq!(ended["duration"], 7);
        let status = Status::Failed;
        assert_eq!(
            applied(record, &[own, json!({"set": {"name": "late"}})]),
            Err(UpdateError::Finished { status })
        );
        // a clock that was set back, or no beginning: no duration rather than a wrong one
        for record in [
            r#"{"startedAt":"2026-10-15T05:02:46.569Z"}"#,
            r#"{"startedAt":"yesterday"}"#,
        ] {
            let ended = value(record, &[json!({"set": {"status": "cancelled"}})]);
            assert_eq!(ended.get("duration"), None, "{record}");
        }
    }

    #[test]
    fn an_update_that_fails_changes_nothing() {
        let record = r#"{"costUSD":"x","steps":{}}"#;
        let updates = [
            update(json!({"set": {"name": "a"}, "add": {"costUSD": 1}})),
            update(json!({"set": {"name": "a"}, "steps": [{"id": "1"}]})),
        ];
        let mut draft = Draft::of(record);
        for update in &updates {
            assert!(draft.apply(update, NOW).is_err());
            assert_eq!(draft.text(), record);
        }
    }

    #[test]
    fn a_beginning_is_overlaid_with_what_its_recorder_says() {
        let text = begun(
            "p",
            "a \"b\"",
            Some(r#"{"id":"a \"b\"","name":"n","costUSD":null,"status":"queued"}"#),
            NOW,
        );
        assert_eq!(
            text,
            r#"{"id":"a \"b\"","projectId":"p","status":"queued","startedAt":"2025-10-15T05:03:20.000Z","tokenUsage":{"input":0,"output":0,"total":0},"costUSD":null,"steps":[],"retryCount":0,"name":"n"}"#
        );
        let nulls = begun(
            "p",
            "a",
            Some(r#"{"id":null,"projectId":null,"\u0069d":null}"#),
            NOW,
        );
        assert!(
            nulls.starts_with(r#"{"id":"a","projectId":"p","#),
            "{nulls}"
        );
        let whole: Value =
            serde_json::from_str(&begun("p", "a", Some(r#"{"status":"completed"}"#), NOW)).unwrap();
        assert_eq!(whole["duration"], 0);
    }

    fn objects() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-c\"\\\\é\n]{0,3}".prop_map(Value::from),
            Just(json!({"deep": [1, {"x": null}]})),
        ];
        proptest::collection::vec(("[a-d]", leaf), 0..5).prop_map(|all| all.into_iter().collect())
    }

    fn steps() -> impl Strategy<Value = Vec<Value>> {
        let step = ("[1-4]", objects()).prop_map(|(id, mut step)| {
            step.insert("id".to_owned(), id.into());
            Value::Object(step)
        });
        proptest::collection::vec(step, 0..4)
    }

    proptest! {
        /// Against the same on trees.
        #[test]
        fn equals_the_same_on_trees(
            record in objects(),
            old in steps(),
            updates in proptest::collection::vec((objects(), steps(), 0..9u32), 0..5),
        ) {
            // a step that is in the record twice is another matter
            let mut model = record;
            let mut held: Vec<Value> = Vec::new();
            let overlay = |held: &mut Vec<Value>, steps: &[Value]| {
                for step in steps {
                    match held.iter_mut().find(|known| known["id"] == step["id"]) {
                        Some(Value::Object(known)) => known.extend(step.as_object().unwrap().clone()),
                        _ => held.push(step.clone()),
                    }
                }
            };
            overlay(&mut held, &old);
            model.insert("steps".to_owned(), held.clone().into());
            let text = Value::Object(model.clone()).to_string();
            let mut cost = 0;
            let mut sent = Vec::new();
            for (set, steps, more) in updates {
                for (name, value) in &set {
                    match value {
                        Value::Null => model.remove(name),
                        value => model.insert(name.clone(), value.clone()),
                    };
                }
                overlay(&mut held, &steps);
                cost += more;
                model.insert("costUSD".to_owned(), cost.into());
                sent.push(json!({"set": set, "steps": steps, "add": {"costUSD": more}}));
            }
            model.insert("steps".to_owned(), held.into());
            prop_assert_eq!(value(&text, &sent), Value::Object(model));
        }
    }
}
