//! Which known name somebody who wrote an unknown one may have meant.

/// So many characters are a beginning, or an end, that is not shared by chance.
const ALIKE: usize = 3;

/// The known name that is nearest to `name`, if one is near: by slips of the hand, or by more where both
/// begin or end alike.
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
        // of short names most must be the same
        .filter(|(distance, known)| {
            let lower = known.to_lowercase();
            let alike = lower.chars().zip(&name).take_while(|(a, b)| a == *b);
            let last = lower.chars().rev().zip(name.iter().rev());
            let alike = alike.count().max(last.take_while(|(a, b)| a == *b).count());
            let slips = match alike {
                ALIKE.. => 1 + known.len() / 3,
                _ => 1.max(known.len() / 3),
            };
            *distance <= slips && 3 * distance < 2 * known.len()
        })
        .min()
        .map(|(_, known)| known)
}

/// How many characters must be inserted, removed, replaced or swapped with the next to make one
/// from the other (Damerau 1964, Levenshtein 1965, by rows).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let (mut above, mut two_above) = (row.clone(), row.clone());
    for (i, left) in a.iter().enumerate() {
        (two_above, above, row) = (above, row, two_above);
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(left != right);
            row[j + 1] = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                row[j + 1] = row[j + 1].min(two_above[j - 1] + 1);
            }
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let known = ["startedAt", "status", "costUSD", "not", "tag"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("startedat"), Some("startedAt"));
        assert_eq!(near("statsu"), Some("status"));
        assert_eq!(near("cost"), Some("costUSD"));
        assert_eq!(near("costs"), Some("costUSD"));
        assert_eq!(nearest("age", ["maxAge"].into_iter()), Some("maxAge"));
        assert_eq!(near("tags"), Some("tag"));
        assert_eq!(near("tga"), Some("tag"));
        assert_eq!(near("foo"), None);
        assert_eq!(near("bar"), None);
        assert_eq!(nearest("foo", ["root"].into_iter()), None);
        assert_eq!(nearest("kind", ["pinned"].into_iter()), None);
        assert_eq!(near("elephant"), None);
        assert_eq!(near(&"status".repeat(1000)), None);
    }
}
