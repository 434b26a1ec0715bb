//! Which known name somebody who wrote an unknown one may have meant.

/// The known name that is nearest to `name`, if one is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(64).collect();
    known
        .map(|known| {
            (
                distance(&name, &known.to_lowercase().chars().collect::<Vec<_>>()),
                known,
            )
        })
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
        .map(|(_, known)| known)
}

/// How many characters must be inserted, removed or replaced to make one from the other
/// (Levenshtein 1965, by rows).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let known = ["startedAt", "status", "costUSD"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("startedat"), Some("startedAt"));
        assert_eq!(near("statsu"), Some("status"));
        assert_eq!(near("cost"), Some("costUSD"));
        assert_eq!(near("elephant"), None);
        assert_eq!(near(&"status".repeat(1000)), None);
    }
}
