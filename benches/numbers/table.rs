//! The one table that all rows go into, as Markdown that can also be read on a terminal.

use std::time::Duration;

pub fn head() {
    println!(
        "| {:<52} | {:>10} | {:>10} | {:>10} | {:>7} | {:<8} |",
        "what", "median", "99th", "floor", "ratio", "at most"
    );
    println!(
        "|{:-<54}|{:->11}:|{:->11}:|{:->11}:|{:->8}:|{:-<10}|",
        "", "", "", "", "", ""
    );
}

/// The middle one.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The one that one in a hundred exceeds; `times` are sorted.
pub fn late(times: &[Duration]) -> Duration {
    times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or_default()
}

/// What took `times`, beside its floor; `at_most` is what the design asks of the ratio.
pub fn row(name: &str, times: &mut [Duration], floor: Duration, at_most: Option<f64>) {
    let middle = median(times);
    ratio_row(
        name,
        Some(middle),
        Some(late(times)),
        floor,
        ratio(middle, floor),
        at_most,
    );
}

/// The same where the design asks for a time.
pub fn within(name: &str, times: &mut [Duration], floor: Duration, at_most: Option<Duration>) {
    let middle = median(times);
    let held = at_most.is_none_or(|most| middle <= most);
    let at_most = at_most.map(|most| format!("{most:?}{}", if held { "" } else { " ✗" }));
    line(
        name,
        [Some(middle), Some(late(times)), Some(floor)],
        ratio(middle, floor),
        &at_most.unwrap_or_default(),
    );
}

/// The longest of many, beside the longest of the floor's.
pub fn longest(name: &str, longest: Duration, floor: Duration, at_most: Duration) {
    let held = if longest <= at_most { "" } else { " ✗" };
    line(
        name,
        [Some(longest), None, Some(floor)],
        ratio(longest, floor),
        &format!("{at_most:?}{held}"),
    );
}

/// The same where the ratio is not that of the median.
pub fn ratio_row(
    name: &str,
    middle: Option<Duration>,
    late: Option<Duration>,
    floor: Duration,
    ratio: f64,
    at_most: Option<f64>,
) {
    let at_most = at_most.map_or(String::new(), |most| {
        format!("{most}{}", if ratio <= most { "" } else { " ✗" })
    });
    line(name, [middle, late, Some(floor)], ratio, &at_most);
}

fn line(name: &str, times: [Option<Duration>; 3], ratio: f64, at_most: &str) {
    let shown = |time: Option<Duration>| time.map_or(String::new(), |time| format!("{time:.1?}"));
    let [middle, late, floor] = times.map(shown);
    println!(
        "| {name:<52} | {middle:>10} | {late:>10} | {floor:>10} | {ratio:>7.2} | {at_most:<8} |"
    );
}

/// What is no time.
pub fn fact(name: &str, value: &str, at_most: &str) {
    println!(
        "| {name:<52} | {value:>10} | {:>10} | {:>10} | {:>7} | {at_most:<8} |",
        "", "", ""
    );
}

pub fn ratio(time: Duration, floor: Duration) -> f64 {
    time.as_secs_f64() / floor.as_secs_f64().max(1e-9)
}
