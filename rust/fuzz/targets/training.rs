//! Small networks with all kinds of layers, trained by each optimizer on any data, hostile data too: no panic, and one
//! thread and two give the same bits, in an evaluation as well.

#![no_main]

use chainrule_fuzz::network::network;
use chainrule_fuzz::{Case, Kind};
use chainrule_kernels::layers::Draws;
use chainrule_kernels::loss::{Loss, Targets};
use chainrule_kernels::machine::{level::Level, threads};
use chainrule_kernels::network::evaluation::{copies, Evaluation};
use chainrule_kernels::network::optimize::{Optimizer, Rule};
use chainrule_kernels::network::stack::{Data, Stack};
use chainrule_kernels::network::training::{Batches, Parameters, Trainer};
use chainrule_kernels::sparse::nonzeros::Nonzeros;
use chainrule_kernels::sparse::rows::Rows;
use chainrule_kernels::Float;
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;
use std::time::{Duration, Instant};

/// All results of some steps and an evaluation.
type Bits = Vec<Vec<u64>>;

fn bits<T: Float>(numbers: &[T]) -> Vec<u64> {
    // Nobody promises the bits of a nan.
    numbers.iter().map(|x| if x.is_nan() { u64::MAX } else { x.wide().to_bits() }).collect()
}

fn train<T: Float>(case: &mut Case<'_>) {
    let (level, (stack, loss)) = (case.level(), network(case));
    let (features, width) = (stack.features(), stack.classes());
    let kinds = [(); 3].map(|()| case.one_of(&[Kind::Plain, Kind::Sparse, Kind::Few, Kind::Hostile]));
    let n = 1 + case.axis();
    let x = Array2::from_shape_vec((n, features), case.numbers::<f64>(kinds[0], n * features)).unwrap();
    let (bytes, single) = (x.mapv(|x| (x * 255.0) as u8), x.mapv(|x| x as f32));
    let rows = case.one_of(&[Rows::Bytes(bytes.view()), Rows::Single(single.view()), Rows::Double(x.view())]);
    let t = Array2::from_shape_vec((n, width), case.numbers::<T>(kinds[1], n * width)).unwrap();
    let ids: Vec<_> = (0..n).map(|row| (row % width.max(1)) as i64).collect();
    let t =
        if loss == Loss::Softmax && case.is() && width > 0 { Targets::ids(&ids) } else { Targets::numbers(t.view()) };
    let weights = case.is().then(|| case.numbers::<T>(kinds[2], n));
    let t = t.weighted(weights.as_deref()).unwrap();
    let rule = case.one_of(&["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"]);
    let [learning_rate, weight_decay] = [(); 2].map(|()| case.one_of(&[0.0, 0.1, 1.0, 1e30, f64::NAN]));
    let largest_norm = case.one_of(&[None, None, Some(1.0), Some(0.0)]);
    let mut nonzeros = Nonzeros::<T>::new(features, rows, stack.scale().unwrap_or(1.0));
    nonzeros.extend(level, rows, 0..n).unwrap();
    let skips = case.is() && stack.first_product().is_some() && largest_norm.is_none();
    let x = if skips { Data::Nonzeros(&nonzeros) } else { Data::Rows(rows) };
    let optimizer = Optimizer {
        rule: Rule::from_name(rule, 0.9, 0.99).unwrap(),
        learning_rate,
        weight_decay,
        steps: case.one_of(&[0, 1, 1 << 40, u64::MAX - 20]),
        largest_norm,
    };
    let size = 1 + case.axis();
    let drawn: Vec<_> = (0..size * case.size(12)).map(|i| (i * 7 % n) as i64).collect();
    let batches = Batches {
        x,
        t,
        rows: &drawn,
        size,
        draws: Draws { seed: case.word(), step: case.one_of(&[0, 1, u64::MAX]), ..Draws::default() },
    };
    let start: Vec<Vec<T>> = stack.sizes().map(|size| case.numbers(kinds[2], size)).collect();
    let states: Vec<_> = stack.shapes_of_parameters().map(|shape| shape.iter().product::<usize>()).collect();
    let stop = case.is();
    let run = |most: usize| {
        threads::limit(most);
        steps(&stack, level, start.clone(), &states, batches, optimizer, stop)
    };
    assert_eq!(run(1), run(2));
}

fn steps<T: Float>(
    stack: &Stack,
    level: Level,
    mut values: Vec<Vec<T>>,
    states: &[usize],
    batches: Batches<'_, T>,
    mut optimizer: Optimizer,
    stop: bool,
) -> Bits {
    let later = || Instant::now() + Duration::from_secs(3600);
    let of_each = |&size: &usize| (0..optimizer.rule.states()).map(move |_| vec![T::zero(); size]);
    let mut state: Vec<Vec<T>> = states.iter().flat_map(of_each).collect();
    let mut trainer = Trainer::new(stack.clone(), level, batches.size).unwrap();
    let mut losses = vec![0.0; batches.rows.len().div_ceil(batches.size)];
    {
        let mut values: Vec<_> = values.iter_mut().map(Vec::as_mut_slice).collect();
        let mut state: Vec<_> = state.iter_mut().map(Vec::as_mut_slice).collect();
        let params = Parameters { values: &mut values, state: &mut state };
        let done = trainer.run(params, batches, &mut optimizer, stop, later(), &mut losses, None).unwrap();
        assert!(done.diverged || done.steps == losses.len());
        assert!(!done.diverged || (stop && !losses[done.steps].is_finite()));
    }
    let params: Vec<_> = values.iter().map(Vec::as_slice).collect();
    let mut evaluation = Evaluation::new(stack, level, copies(&params).unwrap()).unwrap();
    assert_eq!(evaluation.advance(batches.x, batches.t, later()), Ok(true));
    let (loss, right) = evaluation.result();
    let trained = values.iter().chain(&state).map(|numbers| bits(numbers));
    trained.chain([bits(&losses), bits(&[loss, right])]).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let mut case = Case::new(bytes);
    if case.is() {
        train::<f32>(&mut case);
    } else {
        train::<f64>(&mut case);
    }
});
