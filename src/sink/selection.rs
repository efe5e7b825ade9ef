//! Which segments a sink is told of.

/// Names of segments, or how they begin; all of them, where none is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    patterns: Vec<String>,
}

impl Selection {
    /// Those of these names; `b*` is all that begin with `b`.
    ///
    /// ```
    /// use rivulet::sink::selection::Selection;
    /// let some = Selection::new(vec!["vip".into(), "shop_*".into()]);
    /// assert!(some.has("vip") && some.has("shop_active") && !some.has("vips"));
    /// assert!(Selection::default().has("vips"));
    /// ```
    pub fn new(patterns: Vec<String>) -> Self {
        Selection { patterns }
    }

    /// Whether this segment is one of them.
    pub fn has(&self, segment: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => segment.starts_with(beginning),
            None => pattern == segment,
        };
        self.patterns.is_empty() || self.patterns.iter().any(fits)
    }
}
