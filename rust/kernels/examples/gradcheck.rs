//! Checking a layer of your own: `cargo run --example gradcheck`.
//!
//! The layer is `out = x / √(mean of x² + ε)` for each row (RMSNorm), with forward and backward written by hand. Its
//! gradient has a term that is easily forgotten, since `x` also changes the mean of its row. The check passes the
//! correct gradient and shows where the other one is wrong.

use chainrule_kernels::gradcheck;
use ndarray::{array, ArrayD, Axis, Ix2};

const EPSILON: f64 = 1e-5;

fn root(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mean = x.mapv(|x| x * x).sum_axis(Axis(1)) / x.shape()[1] as f64;
    mean.mapv(|mean| (mean + EPSILON).sqrt()).insert_axis(Axis(1))
}

fn forward(inputs: &[ArrayD<f64>]) -> ArrayD<f64> {
    &inputs[0] / &root(&inputs[0])
}

/// dx = (dout - out · mean(dout ⊙ out)) / r
fn backward(inputs: &[ArrayD<f64>], dout: &ArrayD<f64>) -> Vec<ArrayD<f64>> {
    let out = forward(inputs);
    let mean = (dout * &out).sum_axis(Axis(1)).insert_axis(Axis(1)) / out.shape()[1] as f64;
    vec![(dout - &out * &mean) / root(&inputs[0])]
}

/// Wrong: treats the mean as independent of x.
fn term_missing(inputs: &[ArrayD<f64>], dout: &ArrayD<f64>) -> Vec<ArrayD<f64>> {
    vec![dout / &root(&inputs[0])]
}

fn main() -> Result<(), gradcheck::Error> {
    let x = array![[0.5, -1.0, 2.0], [3.0, 0.1, -0.7]].into_dyn();
    println!("the right gradient:\n{}\n", gradcheck::check_pair(forward, backward, std::slice::from_ref(&x), 1)?);
    println!("with a term missing:\n{}\n", gradcheck::check_pair(forward, term_missing, &[x], 1)?);

    // ReLU has no gradient at 0, whatever a layer says there.
    let x = array![[1.0, 0.0, -2.0]];
    let relu = |x: &ndarray::Array<f64, Ix2>| x.mapv(|x| x.max(0.0)).sum();
    let slope = |x: &ndarray::Array<f64, Ix2>| x.mapv(|x| if x >= 0.0 { 1.0 } else { 0.0 });
    println!("ReLU, one number at its corner:\n{}", gradcheck::check(relu, slope, &x)?);
    Ok(())
}
