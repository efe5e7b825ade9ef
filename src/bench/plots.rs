//! The scaling curves as SVG.

use std::path::Path;

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::error::BenchError;
use super::table::{Samples, column};

/// A curve: where it goes, what it shows, over which measurements.
struct Curve {
    file: &'static str,
    title: &'static str,
    across: &'static str,
    up: &'static str,
    lines: &'static [(&'static str, &'static [Point], &'static str)],
}

/// A place on the horizontal axis, and the measurement there.
type Point = (f64, &'static str);

const CURVES: &[Curve] = &[
    Curve {
        file: "events-held.svg",
        title: "Computation alone, one worker",
        across: "events held in windows",
        up: "events/s",
        lines: &[(
            "",
            &[
                (1e4, "alone/10000"),
                (1e5, "alone/100000"),
                (1e6, "alone/1000000"),
                (1e7, "alone/10000000"),
            ],
            "per_s",
        )],
    },
    Curve {
        file: "segments.svg",
        title: "Cost of a change with the same number of flips",
        across: "segments",
        up: "microseconds",
        lines: &[(
            "",
            &[
                (1e2, "intervals/100"),
                (1e3, "intervals/1000"),
                (1e4, "intervals/10000"),
                (1e5, "intervals/100000"),
            ],
            "us_per_change",
        )],
    },
    Curve {
        file: "changes.svg",
        title: "Attribute changes, one worker",
        across: "segments",
        up: "changes/s",
        lines: &[
            ("selective", &[(1e3, "w2/selective/1000"), (1e4, "w2/selective/10000")], "per_s"),
            ("dense", &[(1e3, "w2/dense/1000"), (1e4, "w2/dense/10000")], "per_s"),
        ],
    },
    Curve {
        file: "workers.svg",
        title: "W1 by workers",
        across: "workers",
        up: "events/s",
        lines: &[
            ("5,000 a second", &[(1.0, "w1/1"), (2.0, "w1/2")], "per_s"),
            ("1,000 a second", &[(1.0, "w1s/1"), (2.0, "w1s/2")], "per_s"),
        ],
    },
    Curve {
        file: "memory.svg",
        title: "Peak memory of the whole program",
        across: "users",
        up: "bytes",
        lines: &[
            (
                "W1, clicks",
                &[
                    (25_000.0, "memory/w1/25000"),
                    (50_000.0, "memory/w1/50000"),
                    (100_000.0, "memory/w1/100000"),
                    (200_000.0, "memory/w1/200000"),
                ],
                "peak_bytes",
            ),
            (
                "W2, 20 attributes",
                &[
                    (25_000.0, "memory/w2/25000"),
                    (50_000.0, "memory/w2/50000"),
                    (100_000.0, "memory/w2/100000"),
                    (200_000.0, "memory/w2/200000"),
                ],
                "peak_bytes",
            ),
        ],
    },
];

/// What the curves need beside the rows.
pub(super) fn needs() -> impl Iterator<Item = &'static str> {
    let lines = CURVES.iter().flat_map(|curve| curve.lines);
    lines.flat_map(|(_, points, _)| points.iter().map(|(_, name)| *name))
}

/// Draws every curve of which there are points.
pub(super) fn draw(folder: &Path, samples: &Samples) -> Result<(), BenchError> {
    for curve in CURVES {
        let mut lines = Vec::new();
        for (name, points, figure) in curve.lines {
            let point = |(across, measurement): &Point| {
                let mut values = column((measurement, figure), samples);
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).map(|value| (*across, *value))
            };
            lines.push((*name, points.iter().filter_map(point).collect::<Vec<_>>()));
        }
        if lines.iter().any(|(_, points)| points.len() > 1) {
            write(&folder.join(curve.file), curve.title, (curve.across, curve.up), &lines)?;
        }
    }
    Ok(())
}

/// Draws the percentiles of latency: from the median to one in a hundred thousand.
pub(super) fn percentiles(
    path: &Path,
    title: &str,
    histogram: &Histogram<u64>,
) -> Result<(), BenchError> {
    let nines = (0..=50).map(|step| 10_f64.powf(f64::from(step) / 10.0) * 2.0);
    let points: Vec<_> = nines
        .map(|one_in| (one_in, histogram.value_at_quantile(1.0 - 1.0 / one_in) as f64 / 1e6))
        .filter(|(one_in, _)| *one_in <= histogram.len() as f64)
        .collect();
    if points.len() < 2 {
        return Ok(());
    }
    let axes = ("one in so many waits longer", "milliseconds from scheduled arrival to sink");
    write(path, title, axes, &[("", points)])
}

type Line<'a> = (&'a str, Vec<(f64, f64)>);

fn write(
    path: &Path,
    title: &str,
    axes: (&str, &str),
    lines: &[Line<'_>],
) -> Result<(), BenchError> {
    let area = SVGBackend::new(path, (800, 480)).into_drawing_area();
    render(&area, title, axes, lines)
        .and_then(|()| area.present().map_err(|error| error.to_string()))
        .map_err(|error| BenchError::Measure(format!("cannot draw {}: {error}", path.display())))
}

fn render(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    (across, up): (&str, &str),
    lines: &[Line<'_>],
) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let from = all().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let to = all().map(|(x, _)| *x).fold(0.0, f64::max);
    let top = all().map(|(_, y)| *y).fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.1;
    area.fill(&WHITE).map_err(|error| told(&error))?;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(45)
        .y_label_area_size(90)
        .build_cartesian_2d((from..to).log_scale(), 0.0..top)
        .map_err(|error| told(&error))?;
    chart
        .configure_mesh()
        .x_desc(across)
        .y_desc(up)
        .x_label_formatter(&|x| super::table::number(*x))
        .y_label_formatter(&|y| super::table::number(*y))
        .draw()
        .map_err(|error| told(&error))?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let colour = if index == 0 { BLUE } else { RED };
        let drawn = chart
            .draw_series(
                LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3),
            )
            .map_err(|error| told(&error))?;
        if !name.is_empty() {
            drawn
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
        }
    }
    if lines.len() > 1 {
        let labels = chart
            .configure_series_labels()
            .border_style(BLACK)
            .draw()
            .map_err(|error| told(&error));
        labels?;
    }
    Ok(())
}
