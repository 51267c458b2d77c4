//! Dense products of any shapes and layouts, against three loops in f64.

#![no_main]

use chainrule_fuzz::{Case, Kind, Sum};
use chainrule_kernels::dense::matmul::{affine, column_sums, matmul, matmul_a_bt, matmul_at_b};
use chainrule_kernels::dense::onto::Onto;
use chainrule_kernels::Float;
use libfuzzer_sys::fuzz_target;
use ndarray::{s, Array2, ArrayView2, ArrayViewMut2, ShapeBuilder};

/// A matrix in memory of its own, and its layout there.
struct Matrix<T> {
    memory: Array2<T>,
    step: isize,
}

impl<T: Float> Matrix<T> {
    fn of(case: &mut Case<'_>, (rows, columns): (usize, usize)) -> Self {
        let (kind, step, fortran) = (case.tame(), case.one_of(&[1isize, 1, 1, -1, 2, -3]), case.is());
        let shape = (rows, columns * step.unsigned_abs());
        let numbers = case.numbers(kind, shape.0 * shape.1);
        Self { memory: Array2::from_shape_vec(shape.set_f(fortran), numbers).unwrap(), step }
    }

    fn view(&mut self) -> ArrayViewMut2<'_, T> {
        self.memory.slice_mut(s![.., ..;self.step])
    }
}

/// The numbers, row-major.
fn wide<T: Float>(a: ArrayView2<'_, T>) -> Vec<f64> {
    a.iter().map(|x| x.wide()).collect()
}

fn product<T: Float>(case: &mut Case<'_>) {
    let level = case.level();
    let deep = case.byte() > 240;
    let [m, n] = [(); 2].map(|()| case.axis());
    let k = case.axis() + if deep { 500 } else { 0 };
    let (mut a, mut b, mut c) = (Matrix::of(case, (m, k)), Matrix::of(case, (k, n)), Matrix::of(case, (m, n)));
    let (a, b, mut c) = (a.view(), b.view(), c.view());
    let (a, b, before) = (a.view(), b.view(), c.to_owned());
    let mut factor = T::one();
    let (row, plain) = (case.numbers::<T>(Kind::Plain, n), case.size(5));
    match plain {
        0 => matmul(level, a, b, c.view_mut(), Onto::Nothing),
        1 => matmul_at_b(level, a.reversed_axes(), b, c.view_mut()),
        2 => matmul_a_bt(level, a, b.reversed_axes(), c.view_mut()),
        3 => affine(level, a, b, &row, c.view_mut()),
        _ => {
            factor = T::of(case.one_of(&[1.0, -0.5, 0.0]));
            matmul(level, a, b, c.view_mut(), Onto::Itself(factor))
        }
    }
    .unwrap();
    // Rows of A and columns of B, contiguous.
    let (rows, columns) = (wide(a), wide(b.reversed_axes()));
    for (at, &found) in c.iter().enumerate() {
        let (i, j) = (at / n, at % n);
        let first = match plain {
            0..=2 => 0.0,
            3 => row[j].wide(),
            _ => before[[i, j]].wide(),
        };
        let pairs = rows[i * k..][..k].iter().zip(&columns[j * k..][..k]);
        pairs.map(|(a, b)| factor.wide() * a * b).chain([first]).collect::<Sum>().expect(found, "a product");
    }
    let mut sums = vec![T::nan(); n];
    column_sums(level, c.view(), &mut sums).unwrap();
    for (column, &found) in c.columns().into_iter().zip(&sums) {
        column.iter().map(|x| x.wide()).collect::<Sum>().expect(found, "the sum of a column");
    }
    assert!(matmul(level, a, b, c.slice_mut(s![.., ..n / 2]), Onto::Nothing).is_err() == (n > n / 2));
}

fuzz_target!(|bytes: &[u8]| {
    let mut case = Case::new(bytes);
    if case.is() {
        product::<f32>(&mut case);
    } else {
        product::<f64>(&mut case);
    }
});
