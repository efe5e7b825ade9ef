//! The table: rows worked out of samples, as text and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::Figures;
use super::machine::Machine;
use super::rows::{Better, Formula, Key, Row};

/// What was measured, run by run; or why it could not be.
pub(super) type Samples = BTreeMap<String, Result<Vec<Figures>, String>>;

/// Median, least and greatest of some runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) runs: usize,
}

impl Summary {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            (values[middle - 1] + values[middle]) / 2.0
        } else {
            values[middle]
        };
        Some(Summary { median, min, max, runs: values.len() })
    }
}

/// A row with what came of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    id: &'static str,
    what: &'static str,
    unit: &'static str,
    value: Option<Summary>,
    /// Why there is no value.
    missing: Option<String>,
    reach: Option<f64>,
    stretch: Option<f64>,
    reached: Option<bool>,
    stretched: Option<bool>,
    /// Of the first measurement of the row: seconds, and the peak of memory.
    wall_s: Option<Summary>,
    cpu_s: Option<Summary>,
    peak_bytes: Option<Summary>,
}

/// Works a row out.
pub(super) fn result(row: &Row, samples: &Samples, quick: bool) -> Outcome {
    let needs = row.value.needs();
    let missing = needs.iter().find_map(|(name, _)| match samples.get(*name) {
        None => Some("not measured".to_owned()),
        Some(Err(why)) => Some(why.clone()),
        Some(Ok(_)) => None,
    });
    let value = if missing.is_none() { summary(row.value, samples) } else { None };
    let better = |mark: f64| {
        value.filter(|_| !quick).map(|value| match row.better {
            Better::Higher => value.median >= mark,
            Better::Lower => value.median <= mark,
        })
    };
    let of_first =
        |figure| needs.first().and_then(|(name, _)| Summary::of(column((name, figure), samples)));
    Outcome {
        id: row.id,
        what: row.what,
        unit: row.unit,
        value,
        missing,
        reach: row.reach,
        stretch: row.stretch,
        reached: row.reach.and_then(better),
        stretched: row.stretch.and_then(better),
        wall_s: of_first("wall_s"),
        cpu_s: of_first("cpu_s"),
        peak_bytes: of_first("peak_bytes"),
    }
}

/// The values of a figure, run by run.
pub(super) fn column((name, figure): (&str, &str), samples: &Samples) -> Vec<f64> {
    let runs = samples.get(name).and_then(|runs| runs.as_ref().ok());
    runs.map_or(Vec::new(), |runs| runs.iter().filter_map(|run| run.get(figure)).collect())
}

fn summary(formula: Formula, samples: &Samples) -> Option<Summary> {
    let of = |key: Key| column(key, samples);
    match formula {
        Formula::Of(key) => Summary::of(of(key)),
        Formula::Ratio(over, under) => Summary::of(paired(&of(over), &of(under), |a, b| a / b)),
        Formula::Difference(more, less) => Summary::of(paired(&of(more), &of(less), |a, b| a - b)),
        Formula::Spread(keys) => {
            let medians: Option<Vec<f64>> =
                keys.iter().map(|key| Summary::of(of(*key)).map(|it| it.median)).collect();
            let all = Summary::of(medians?)?;
            Summary::of(vec![all.max / all.min])
        }
        Formula::Slope(from, to) => {
            let median = |key| Summary::of(of(key)).map(|it| it.median);
            let rise = median(to[0])? - median(from[0])?;
            Summary::of(vec![rise / (median(to[1])? - median(from[1])?)])
        }
    }
}

/// What comes of two figures, run by run. What was run less often stands for all its runs.
fn paired(left: &[f64], right: &[f64], of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let at =
        |values: &[f64], run: usize| values.get(run).or(values.last()).copied().unwrap_or(f64::NAN);
    (0..left.len().max(right.len())).map(|run| of(at(left, run), at(right, run))).collect()
}

/// A number as people read it.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        let whole = format!("{value:.0}");
        let (sign, digits) = whole.strip_prefix('-').map_or(("", &*whole), |digits| ("-", digits));
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|group| std::str::from_utf8(group).unwrap_or_default())
            .collect();
        format!("{sign}{}", groups.join(","))
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The table as text.
pub(super) fn text(results: &[Outcome], machine: &Machine, quick: bool) -> String {
    let head = [
        "row", "median", "min", "max", "", "reach", "stretch", "", "runs", "wall s", "CPU s",
        "peak MiB", "what",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(results.iter().map(line));
    let mut widths = [0; 13];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = format!("{}\n", machine.line());
    if quick {
        text.push_str(
            "--quick: the sizes are tiny, and no mark is reached or missed by these numbers\n",
        );
    }
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            let is_text = matches!(column, 0 | 4 | 7 | 12);
            text.push_str(&if is_text {
                format!("{cell}{pad}  ")
            } else {
                format!("{pad}{cell}  ")
            });
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn line(result: &Outcome) -> [String; 13] {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let of = |summary: Option<Summary>| shown(summary.map(|it| it.median));
    let verdict = match (&result.missing, result.reached, result.stretched) {
        (Some(_), ..) => "missing",
        (_, None, _) => "",
        (_, Some(false), _) => "NOT REACHED",
        (_, Some(true), Some(true)) => "stretch",
        (_, Some(true), _) => "reached",
    };
    let what = match &result.missing {
        Some(why) => format!("{} ({why})", result.what),
        None => result.what.to_owned(),
    };
    [
        result.id.to_owned(),
        of(result.value),
        shown(result.value.map(|it| it.min)),
        shown(result.value.map(|it| it.max)),
        result.unit.to_owned(),
        shown(result.reach),
        shown(result.stretch),
        verdict.to_owned(),
        result.value.map_or("-".to_owned(), |it| it.runs.to_string()),
        of(result.wall_s),
        of(result.cpu_s),
        shown(result.peak_bytes.map(|it| it.median / (1 << 20) as f64)),
        what,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    fn samples(of: &[(&str, &str, &[f64])]) -> Samples {
        let mut samples = Samples::new();
        for (name, figure, values) in of {
            let runs = values.iter().map(|value| {
                let mut figures = Figures::default();
                figures.set(figure, *value);
                figures
            });
            samples.insert((*name).to_owned(), Ok(runs.collect()));
        }
        samples
    }

    fn row(id: &str) -> &'static Row {
        ROWS.iter().find(|row| row.id == id).unwrap()
    }

    #[test]
    fn medians_meet_marks_and_ratios_go_run_by_run() {
        let samples = samples(&[
            ("w1/2", "per_s", &[1.7e6, 1.5e6, 3.1e6]),
            ("peer/flink-warm/w1", "per_s", &[1e6, 1e6, 1e6]),
            ("peer/flink-rocksdb/w1", "per_s", &[5e4]),
        ]);
        let w1 = result(row("w1"), &samples, false);
        let value = Summary { median: 1.7e6, min: 1.5e6, max: 3.1e6, runs: 3 };
        assert_eq!((w1.value, w1.reached, w1.stretched), (Some(value), Some(true), Some(false)));
        let warm = result(row("w1-flink-warm"), &samples, false).value.unwrap();
        assert_eq!(number(warm.median), "1.70");
        let rocks = result(row("w1-flink-rocksdb"), &samples, false);
        assert_eq!((rocks.value.unwrap().median, rocks.reached), (34.0, Some(false)));
        assert_eq!(result(row("w1s"), &samples, false).missing.as_deref(), Some("not measured"));
    }

    #[test]
    fn differences_go_run_by_run_and_may_be_below_nothing() {
        let samples = samples(&[
            ("kafka-paced/none", "p99_ms", &[100.0, 120.0, 90.0]),
            ("kafka-paced/kept", "p99_ms", &[104.0, 118.0, 97.0]),
        ]);
        let more = result(row("kafka-latency-more"), &samples, false);
        let value = Summary { median: 4.0, min: -2.0, max: 7.0, runs: 3 };
        assert_eq!((more.value, more.reached), (Some(value), Some(true)));
    }

    #[test]
    fn spreads_and_slopes() {
        let held = [
            ("alone/10000", 2.0),
            ("alone/100000", 2.0),
            ("alone/1000000", 1.0),
            ("alone/10000000", 2.5),
        ];
        let held: Vec<_> =
            held.iter().map(|(name, rate)| (*name, "per_s", std::slice::from_ref(rate))).collect();
        let flat = result(row("alone-flat"), &samples(&held), false).value.unwrap();
        assert_eq!(number(flat.median), "2.50");
        let mut memory = Samples::new();
        for (name, peak, users) in [("memory/w1/25000", 1e6, 1e4), ("memory/w1/200000", 5e6, 3e4)] {
            let mut figures = Figures::default();
            figures.set("counted_bytes", peak);
            figures.set("users", users);
            memory.insert(name.to_owned(), Ok(vec![figures]));
        }
        let row = result(row("memory-w1"), &memory, false);
        assert_eq!((row.value.unwrap().median, row.reached), (200.0, Some(true)));
    }

    #[test]
    fn numbers_are_grouped() {
        let shown = [1_234_567.0, -1_234.0, 999.5, 12.34, 0.5].map(number);
        assert_eq!(shown, ["1,234,567", "-1,234", "1000", "12.3", "0.50"]);
    }
}
