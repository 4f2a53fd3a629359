// Matrices as the server sends them, and what is computed of them in the page: ΔW as the product of its factors.
const weightsMatrices = (() => {
  // A matrix as the server sends it: shares of its largest entry as whole numbers.
  function decode(matrix) {
    const bytes = Uint8Array.from(atob(matrix.data), (letter) => letter.charCodeAt(0));
    const whole = matrix.bits === 16 ? new Int16Array(bytes.buffer) : new Int8Array(bytes.buffer);
    const step = matrix.largest / (matrix.bits === 16 ? 32767 : 127);
    return { rows: matrix.cells[0], columns: matrix.cells[1], values: Float64Array.from(whole, (number) => number * step) };
  }

  function product(left, right, units = [...Array(left.columns).keys()]) {
    const [rows, columns] = [left.rows, right.columns];
    const values = new Float64Array(rows * columns);
    for (let i = 0; i < rows; i++)
      for (const k of units) {
        const factor = left.values[i * left.columns + k];
        for (let j = 0; j < columns; j++) values[i * columns + j] += factor * right.values[k * columns + j];
      }
    return { rows, columns, values };
  }

  const largest = (matrices) => Math.max(0, ...matrices.map((one) => one.values.reduce((top, x) => Math.max(top, Math.abs(x)), 0)));
  const minus = (a, b) => ({ ...a, values: a.values.map((x, i) => x - b.values[i]) });

  function opened(value) {
    if (value.sketch) return { ...value, ...value.numbers?.() };
    const arms = value.arms.map((arm) => {
      if (!arm.kind) return arm;
      const maps = Object.fromEntries(Object.entries(arm.maps).map(([role, map]) => [role, decode(map)]));
      maps.delta ??= product(maps.left, maps.right);
      return { ...arm, maps, u: decode(arm.u), v: decode(arm.v) };
    });
    const base = Object.fromEntries(["weight", "true"].filter((name) => value[name]).map((name) => [name, decode(value[name])]));
    if (value.compared.length) {
      const [first, second] = value.compared.map((index) => arms[index]);
      base.difference = minus(second.maps.delta, first.maps.delta);
    }
    return { ...value, arms, base, scale: largest([...arms.flatMap((arm) => arm.maps?.delta ?? []), ...(base.true ? [base.true] : [])]) };
  }

  return { decode, product, largest, opened };
})();
