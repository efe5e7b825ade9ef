//! The example of how to embed the computation does what it says.

#[path = "../examples/embed.rs"]
#[expect(dead_code, reason = "its `main` is for those who run it")]
mod embed;

#[test]
fn a_program_of_ones_own_is_told_who_entered_and_left() {
    let found = embed::differences().expect("the example stands");
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    let entered = "2026-01-01T00:02:00.000Z + high_value u1";
    assert_eq!(lines, [entered, "2026-01-01T00:10:00.000Z - high_value u1"]);
}
