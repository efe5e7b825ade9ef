//! The right word nearest to a wrong one, for the `did you mean` of messages.

/// Longest word compared, in characters: the comparison takes time by the square of it.
const LENGTH_MAX: usize = 64;

/// The candidate that was most likely meant, if any is near: the same but for case, one that
/// begins the same, or one within a few slips of the keyboard. Of equally near ones, the first.
///
/// ```
/// use dataflows::rule::words::nearest;
/// assert_eq!(nearest("conditons", ["operator", "conditions"]), Some("conditions"));
/// assert_eq!(nearest("and", ["AND", "OR"]), Some("AND"));
/// assert_eq!(nearest("colour", ["operator", "conditions"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    let allowed = 1 + word.len() / 4;
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(&word, &folded(candidate), allowed)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The hint of a message: `did you mean "gte"?`
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean {near:?}?"))
}

fn folded(word: &str) -> Vec<char> {
    word.chars().take(LENGTH_MAX).flat_map(char::to_lowercase).collect()
}

/// How far two words are apart, if that is near enough to be a slip.
fn distance(word: &[char], candidate: &[char], allowed: usize) -> Option<usize> {
    let common = word.len().min(candidate.len());
    if common >= 3 && (word.starts_with(candidate) || candidate.starts_with(word)) {
        return Some(usize::from(word.len() != candidate.len()));
    }
    if word.len().abs_diff(candidate.len()) > allowed || common == 0 {
        return None;
    }
    let slips = slips(word, candidate);
    // A word of which hardly a letter is left was not meant.
    (slips <= allowed && slips < common).then_some(slips)
}

/// Letters to add, drop, change or swap with their neighbour to make one word the other.
fn slips(word: &[char], candidate: &[char]) -> usize {
    let mut older: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    for (row, letter) in word.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in candidate.iter().enumerate() {
            let changed = last[column] + usize::from(letter != other);
            let mut best = changed.min(last[column + 1] + 1).min(next[column] + 1);
            let swapped = row > 0
                && column > 0
                && word[row - 1] == *other
                && *letter == candidate[column - 1];
            if swapped {
                best = best.min(older[column - 1] + 1);
            }
            next.push(best);
        }
        older = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted_once() {
        let count = |left: &str, right: &str| slips(&folded(left), &folded(right));
        assert_eq!(count("", ""), 0);
        assert_eq!(count("gte", "gte"), 0);
        assert_eq!(count("get", "gte"), 1);
        assert_eq!(count("atribute", "attribute"), 1);
        assert_eq!(count("kitten", "sitting"), 3);
    }

    #[test]
    fn far_words_are_not_guessed() {
        assert_eq!(nearest("x", ["in", "eq"]), None);
        assert_eq!(nearest("", ["in"]), None);
        assert_eq!(nearest("ne", ["eq", "neq"]), Some("neq"));
        assert_eq!(nearest("premum", ["premium", "us_premium"]), Some("premium"));
        assert_eq!(nearest("BETWEEN", ["between"]), Some("between"));
        assert_eq!(nearest("cond", ["conditions"]), Some("conditions"));
    }
}
