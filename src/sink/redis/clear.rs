//! Clearing away all that a sink has written, and nothing else.

use redis::{Connection, RedisResult, cmd, pipe};

use super::Settings;

/// How many members are looked at in one go.
const MEMBERS: usize = 10_000;

/// Clears. The position goes first: a run that is killed meanwhile clears on when it is started
/// again.
pub(super) fn clear(connection: &mut Connection, settings: &Settings) -> RedisResult<()> {
    let () = cmd("UNLINK").arg(settings.own_key()).query(connection)?;
    let segments = settings.segments_key();
    let written: Vec<Vec<u8>> = cmd("SMEMBERS").arg(&segments).query(connection)?;
    for segment in written {
        clear_segment(connection, settings, &segment)?;
        let () = cmd("SREM").arg(&segments).arg(&segment).query(connection)?;
    }
    Ok(())
}

fn clear_segment(
    connection: &mut Connection,
    settings: &Settings,
    segment: &[u8],
) -> RedisResult<()> {
    let key = settings.segment_key(&String::from_utf8_lossy(segment));
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SSCAN");
        scan.arg(&key).arg(cursor).arg("COUNT").arg(MEMBERS);
        let (next, users): (u64, Vec<Vec<u8>>) = scan.query(connection)?;
        let mut step = pipe();
        for user in &users {
            let of_user = settings.user_key(&String::from_utf8_lossy(user));
            step.cmd("SREM").arg(of_user).arg(segment).ignore();
        }
        let () = step.query(connection)?;
        cursor = next;
        if cursor == 0 {
            return cmd("UNLINK").arg(&key).query(connection);
        }
    }
}
