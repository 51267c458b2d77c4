//! The losses of a network with numbers moved, singly or along a direction: they equal those of the moved network,
//! evaluated; and one thread and two give the same bits.

#![no_main]

use chainrule_fuzz::network::network;
use chainrule_fuzz::{Case, Kind};
use chainrule_kernels::layers::Draws;
use chainrule_kernels::loss::{Loss, Targets};
use chainrule_kernels::machine::threads;
use chainrule_kernels::network::evaluation::{copies, Evaluation};
use chainrule_kernels::network::stack::Data;
use chainrule_kernels::numeric::directions::{losses_along, Scratch};
use chainrule_kernels::numeric::entries::{losses, Moves};
use chainrule_kernels::sparse::rows::Rows;
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;
use std::time::{Duration, Instant};

/// The result on one thread, which two threads must also give.
fn by_any<R>(mut work: impl FnMut() -> R, bits: impl Fn(&R) -> Vec<u64>) -> R {
    threads::limit(1);
    let one = work();
    threads::limit(2);
    assert_eq!(bits(&work()), bits(&one));
    one
}

/// The bits, with all nans alike.
fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let case = &mut Case::new(bytes);
    let (level, (stack, loss), hostile) = (case.level(), network(case), case.byte() > 200);
    let (n, features, classes) = (1 + case.axis(), stack.features(), stack.classes());
    let kind = if hostile { Kind::Hostile } else { case.tame() };
    let x = Array2::from_shape_vec((n, features), case.numbers(kind, n * features)).unwrap();
    let t = Array2::from_shape_vec((n, classes), case.numbers(kind, n * classes)).unwrap();
    let ids: Vec<_> = (0..n).map(|row| (row % classes.max(1)) as i64).collect();
    let by_id = loss == Loss::Softmax && classes > 0 && case.is();
    let t = if by_id { Targets::ids(&ids) } else { Targets::numbers(t.view()) };
    let params: Vec<Vec<f64>> = stack.sizes().map(|size| case.numbers(kind, size)).collect();
    let slices: Vec<_> = params.iter().map(Vec::as_slice).collect();
    let later = || Instant::now() + Duration::from_secs(3600);
    let draws = vec![Draws { seed: case.word(), ..Draws::default() }; case.size(4)];
    let offsets: Vec<f64> = case.numbers(kind, 3);

    // A training step draws random numbers, or depends on the batch; an evaluation does neither.
    let comparable = !hostile && !stack.trains_otherwise();
    let expect = |found: f64, params: &[Vec<f64>]| {
        if !comparable {
            return;
        }
        let slices: Vec<_> = params.iter().map(Vec::as_slice).collect();
        let mut evaluation = Evaluation::new(&stack, level, copies(&slices).unwrap()).unwrap();
        evaluation.advance(Data::Rows(Rows::Double(x.view())), t, later()).unwrap();
        let wanted = evaluation.result().0;
        assert!(
            (found - wanted).abs() <= 1e-9 * (1.0 + wanted.abs()) || found.is_nan() && wanted.is_nan(),
            "{found} for {wanted}"
        );
    };

    let directions: Vec<Vec<f64>> = params.iter().map(|p| case.numbers(kind, p.len())).collect();
    let directions: Vec<_> = directions.iter().map(|v| case.is().then_some(v.as_slice())).collect();
    let along = || {
        let (mut out, data) = (vec![0.0; offsets.len()], Data::Rows(Rows::Double(x.view())));
        let scratch = &mut Scratch::default();
        losses_along(level, &stack, &slices, &directions, data, t, &draws, &offsets, 0, later(), &mut out, scratch)
            .unwrap();
        out
    };
    for (found, offset) in by_any(along, |found| bits(found)).into_iter().zip(&offsets) {
        let mut moved = params.clone();
        for (p, v) in moved.iter_mut().zip(&directions) {
            p.iter_mut().zip(v.unwrap_or_default()).for_each(|(p, v)| *p += offset * v);
        }
        expect(found, &moved);
    }

    let parameter = case.size(params.len());
    let there = params.get(parameter).map_or(0, Vec::len);
    let entries: Vec<_> = (0..case.size(4).min(there)).map(|_| (case.word() % there as u64) as i64).collect();
    let moves = Moves { parameter, entries: &entries, each: 1, offsets: &offsets[..entries.len().min(3)] };
    let singly = || {
        let mut out = vec![0.0; moves.offsets.len()];
        let done = losses(level, &stack, &slices, x.view(), t, &draws, moves, 0, later(), &mut out);
        done.map(|_| out)
    };
    let Ok(found) = by_any(singly, |found| found.as_ref().map_or(vec![], |found| bits(found))) else { return };
    for ((found, &entry), offset) in found.into_iter().zip(&entries).zip(&offsets) {
        let mut moved = params.clone();
        moved[parameter][entry as usize] += offset;
        expect(found, &moved);
    }
});
