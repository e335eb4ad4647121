"""bt.integrations.flower: what the mod and the server's side do with each message, on a grid without a network."""

from __future__ import annotations

import copy
import logging
import sys
from fractions import Fraction

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("flwr needs CPython 3.11", allow_module_level=True)

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as strategies
from flwr.serverapp.strategy import FedAvg

import bluetusk as bt
from bluetusk.integrations._flower_records import KEY, Layout
from bluetusk.integrations.flower import SecAgg, SecAggMod, SecAggWorkflow, secagg_mod

N = 5
INITIAL = ArrayRecord([np.zeros((3, 2)), np.zeros(1)])


def update(node, dtype=np.float64):
    """What a node trains to, whatever it was sent."""
    rng = np.random.default_rng(node)
    return [rng.normal(size=(3, 2)).astype(dtype), rng.normal(size=1)]


def weight(node):
    return 10 * node


def make_app(train=None, mod=secagg_mod, action=None):
    app = ClientApp(mods=[mod] if mod else [])

    def usual(msg, ctxt):
        metrics = MetricRecord({"num-examples": weight(ctxt.node_id), "loss": float(ctxt.node_id)})
        return Message(RecordDict({"arrays": ArrayRecord(update(ctxt.node_id)), "metrics": metrics}), reply_to=msg)

    (app.train(action) if action else app.train())(train or usual)

    @app.evaluate()
    def evaluate(msg, ctxt):
        (w, b) = msg.content["arrays"].to_numpy_ndarrays()
        return Message(
            RecordDict({"metrics": MetricRecord({"num-examples": 1, "sum": float(w.sum() + b[0])})}), reply_to=msg
        )

    return app


class Replies(FedAvg):
    """FedAvg that keeps what it was given."""

    def aggregate_train(self, server_round, replies):
        self.replies = list(replies)
        return super().aggregate_train(server_round, copy.deepcopy(self.replies))


def strategy(**more):
    return SecAgg(Replies(min_train_nodes=2, min_available_nodes=2, fraction_evaluate=0.0), **more)


def mean_of(nodes, frac_bits=20):
    """The weighted mean of the quantised updates, in Python's integers, rounded once."""
    total = sum(weight(node) for node in nodes)
    columns = zip(*(np.concatenate([part.ravel() for part in update(node)]).tolist() for node in nodes), strict=True)
    sums = [
        sum(weight(n) * round(Fraction(x) * 2**frac_bits) for n, x in zip(nodes, xs, strict=True)) for xs in columns
    ]
    return [float(Fraction(s, total * 2**frac_bits)) for s in sums]


def flat(record):
    return np.concatenate([part.ravel() for part in record.to_numpy_ndarrays()]).tolist()


def given(agg):
    """What the strategy got from each node: the array record, or the error's reason."""
    return {
        reply.metadata.src_node_id: reply.error.reason if reply.has_error() else flat(reply.content["arrays"])
        for reply in agg.strategy.replies
    }


def run(app, make_grid, *, n=N, lose=lambda node, stage: False, rounds=1, **more):
    grid, agg = make_grid(app, n, lose), strategy(**more)
    return grid, agg, agg.start(grid, INITIAL, num_rounds=rounds)


# ------------------------------------------------------------------------------------------------------- the sum


def test_every_reply_is_the_exact_mean(make_grid):
    grid, agg, result = run(make_app(), make_grid)
    exact = mean_of(range(1, N + 1))
    assert given(agg) == dict.fromkeys(range(1, N + 1), exact)
    np.testing.assert_allclose(flat(result.arrays), exact, rtol=1e-14)
    # the plain mean of the updates, to the encoding's bound
    plain = np.average(
        [flat(ArrayRecord(update(n))) for n in range(1, 6)], axis=0, weights=[weight(n) for n in range(1, 6)]
    )
    np.testing.assert_allclose(flat(result.arrays), plain, rtol=0, atol=2.0**-21 + 1e-15)
    (told,) = agg.rounds
    assert (told.number, told.clients, told.weight, told.problems, told.error) == (1, (1, 2, 3, 4, 5), 150, {}, None)
    # metrics are the app's own, weighted by its own weights
    assert result.train_metrics_clientapp[1]["loss"] == pytest.approx(sum(n * weight(n) for n in range(1, 6)) / 150)
    assert [stage for node, stage, _ in grid.seen if node == 1] == ["train", "start", "shares", "masked", "unmask"]


def test_no_update_leaves_a_client_and_no_secret_stays(make_grid):
    grid, _, _ = run(make_app(), make_grid, rounds=2)
    for node, stage, reply in grid.seen:
        bare = b"".join(
            value
            for record in reply.content.config_records.values()
            for value in record.values()
            if isinstance(value, bytes)
        )
        assert all(part.tobytes()[:8] not in bare for part in update(node))
        assert not any(record.values() for record in reply.content.array_records.values()), stage
    for context in grid.contexts.values():
        assert dict(context.state.config_records[KEY]) == {}


def test_types_and_shapes_of_arrays_are_kept_and_means_of_integers_are_float64(make_grid):
    parts = {"half": np.float16, "single": np.float32, "big": ">f8", "count": np.int64, "small": np.uint8}

    def train(msg, ctxt):
        arrays = {name: np.full((2, 3), ctxt.node_id, dtype) for name, dtype in parts.items()}
        arrays |= {"empty": np.empty((0, 4)), "scalar": np.array(ctxt.node_id, np.float32)}
        record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
        return Message(RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 1})}), reply_to=msg)

    _, agg, _ = run(make_app(train), make_grid, n=4)
    record = agg.strategy.replies[0].content["arrays"]
    made = {name: array.numpy() for name, array in record.items()}
    assert {name: array.dtype.name for name, array in made.items()} == {
        "half": "float16",
        "single": "float32",
        "big": "float64",
        "count": "float64",
        "small": "float64",
        "empty": "float64",
        "scalar": "float32",
    }
    assert all((array == 2.5).all() for array in made.values())
    assert made["empty"].shape == (0, 4)
    assert made["scalar"].shape == ()


def test_a_train_message_may_name_an_action(make_grid):
    class Named(Replies):
        def _construct_messages(self, record, node_ids, message_type):
            return super()._construct_messages(
                record, node_ids, "train.fine_tune" if message_type == "train" else message_type
            )

    agg = SecAgg(Named(fraction_evaluate=0.0))
    agg.start(make_grid(make_app(action="fine_tune"), 4), INITIAL, num_rounds=1)
    assert given(agg)[2] == mean_of(range(1, 5))


def test_other_messages_pass_as_they_are(make_grid):
    grid = make_grid(make_app(), N)
    agg = SecAgg(FedAvg())
    result = agg.start(grid, INITIAL, num_rounds=1)
    assert result.evaluate_metrics_clientapp[1]["sum"] == pytest.approx(sum(mean_of(range(1, N + 1))))
    assert [stage for node, stage, _ in grid.seen if node == 2][-1] == "evaluate"


def test_the_weight_key_is_the_strategys_also_through_a_wrapper(make_grid):
    def train(msg, ctxt):
        metrics = MetricRecord({"rows": weight(ctxt.node_id), "num-examples": 1})
        return Message(RecordDict({"arrays": ArrayRecord(update(ctxt.node_id)), "metrics": metrics}), reply_to=msg)

    class Wrapper:
        def __init__(self, strategy):
            self.strategy = strategy

        def start(self, grid, *args, **more):
            return self.strategy.start(grid, *args, **more)

    inner = FedAvg(weighted_by_key="rows", fraction_evaluate=0.0)
    agg = SecAgg(Wrapper(inner))
    result = agg.start(make_grid(make_app(train), 4), INITIAL, num_rounds=1)
    np.testing.assert_allclose(flat(result.arrays), mean_of(range(1, 5)), rtol=1e-14)


def test_hidden_metrics(make_grid):
    grid, agg, result = run(make_app(mod=SecAggMod(metrics=False)), make_grid)
    np.testing.assert_allclose(flat(result.arrays), mean_of(range(1, N + 1)), rtol=1e-14)
    for _, stage, reply in grid.seen:
        assert [dict(record) for record in reply.content.metric_records.values()] == (
            [{"num-examples": 0}] if stage == "train" else []
        )
    assert [dict(reply.content["metrics"]) for reply in agg.strategy.replies] == [{"num-examples": 150 // N}] * N


# ------------------------------------------------------------------------------------------------------- drop-outs


@pytest.mark.parametrize(
    ("stage", "inside"),
    [("train", False), ("start", False), ("shares", False), ("masked", False), ("unmask", True)],
)
def test_a_client_that_vanishes_is_left_out_and_the_rest_is_exact(make_grid, stage, inside):
    n = 7
    _, agg, _ = run(make_app(), make_grid, n=n, lose=lambda node, at: node == 3 and at == stage)
    nodes = tuple(node for node in range(1, n + 1) if inside or node != 3)
    (told,) = agg.rounds
    assert (told.clients, told.weight) == (nodes, sum(map(weight, nodes)))
    assert told.problems[3].endswith("did not answer")
    got = given(agg)
    assert {node: got[node] for node in nodes} == {node: mean_of(nodes) for node in nodes}
    assert (3 in got) == (stage != "train")


@pytest.mark.parametrize("stage", ["train", "masked"])
def test_the_superlink_speaks_for_a_node_that_is_gone(make_grid, stage):
    class Link(make_grid):
        def deliver(self, message):
            reply = super().deliver(message)
            if reply is None:
                reply = Message(Error(5, "Node Unavailable"), reply_to=message)
                reply.metadata.__dict__["_src_node_id"] = 1000
            return reply

    agg = strategy()
    agg.start(Link(make_app(), 7, lambda node, at: (node, at) == (3, stage)), INITIAL, num_rounds=1)
    (told,) = agg.rounds
    assert told.clients == (1, 2, 4, 5, 6, 7)
    assert set(told.problems) == {3}
    assert told.problems[3].endswith("did not answer")


def test_too_few_is_a_typed_abort_that_leaves_the_model_and_the_next_round_goes_on(make_grid, caplog):
    trained = []

    def lose(node, stage):
        trained.extend([node] if stage == "train" else [])
        return len(trained) > N and stage == "masked" and node > 2  # in the second round

    with caplog.at_level(logging.ERROR, logger="flwr"):
        _, agg, result = run(make_app(), make_grid, lose=lose, rounds=2)
    first, second = agg.rounds
    assert first.error is None
    assert isinstance(second.error, bt.ProtocolAbort)
    assert "2 clients sent their masked vectors; at least 4 are needed" in str(second.error)
    assert second.clients == ()
    assert all(isinstance(told, str) for told in given(agg).values())
    np.testing.assert_allclose(flat(result.arrays), mean_of(range(1, N + 1)), rtol=1e-14)
    assert "Secure aggregation of round 2 failed; the model is unchanged" in caplog.text
    third = strategy()
    third.start(make_grid(make_app(), N), result.arrays, num_rounds=1)
    assert third.rounds[0].error is None


def test_fewer_than_min_clients(make_grid):
    _, agg, result = run(make_app(), make_grid, lose=lambda node, stage: stage == "train" and node > 3, min_clients=4)
    assert "3 clients trained, but at least 4 are needed" in str(agg.rounds[0].error)
    assert len(result.arrays) == 0 or flat(result.arrays) == flat(INITIAL)


def test_nobody_trains(make_grid):
    _, agg, _ = run(make_app(), make_grid, lose=lambda node, stage: True)
    assert "no client trained" in str(agg.rounds[0].error)


def test_two_clients_only_if_both_sides_say_so(make_grid):
    _, agg, _ = run(make_app(mod=SecAggMod(min_clients=2)), make_grid, n=2)
    assert "2 clients trained, but at least 3 are needed" in str(agg.rounds[0].error)
    _, agg, _ = run(make_app(), make_grid, n=2, min_clients=2)
    assert "but this client requires 3" in agg.rounds[0].problems[1]
    _, agg, _ = run(make_app(mod=SecAggMod(min_clients=2)), make_grid, n=2, min_clients=2)
    assert given(agg) == {1: mean_of((1, 2)), 2: mean_of((1, 2))}


def test_a_sparse_graph(make_grid):
    nodes = [node for node in range(1, 71) if node not in (5, 50)]
    _, agg, _ = run(make_app(), make_grid, n=70, lose=lambda node, at: at == "masked" and node not in nodes)
    assert agg.rounds[0].clients == tuple(nodes)
    assert given(agg)[1] == mean_of(nodes)


def test_corrupt_clients_planned_for_all_may_be_all_that_stay(make_grid):
    _, agg, _ = run(
        make_app(), make_grid, n=10, lose=lambda node, at: at == "train" and node > 3, corrupt=0.3, dropout=0.0
    )
    assert "3 clients trained, but 3 of those selected may be corrupt" in str(agg.rounds[0].error)


def test_the_steps_have_a_timeout_of_their_own(make_grid):
    grid, agg = make_grid(make_app(), N), strategy(timeout=7.0)
    agg.start(grid, INITIAL, num_rounds=1, timeout=100.0)
    assert grid.timeouts[:5] == [100.0, 7.0, 7.0, 7.0, 7.0]
    grid, agg = make_grid(make_app(), N), strategy()
    agg.start(grid, INITIAL, num_rounds=1, timeout=100.0)
    assert grid.timeouts[:5] == [100.0] * 5


# ------------------------------------------------------------------------------------------------------- refusals


def reply_with(content):
    def train(msg, ctxt):
        return Message(RecordDict(content(ctxt.node_id)), reply_to=msg)

    return train


def bad_node_3(usual, bad):
    return reply_with(lambda node: (bad if node == 3 else usual)(node))


def usual_content(node, value=0.5, examples=4):
    arrays = ArrayRecord([np.full((3, 2), value), np.full(1, value)])
    return {"arrays": arrays, "metrics": MetricRecord({"num-examples": examples})}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (
            lambda node: usual_content(node, value=8.001),
            "EncodingOverflow: array '0' holds a value beyond the clip of 8.0",
        ),
        (lambda node: usual_content(node, value=float("nan")), "ValueError: array '0' holds NaN or an infinity"),
        (lambda node: usual_content(node, value=1j), "TypeError: array '0' is of complex128"),
        (lambda node: usual_content(node, examples=0), "'num-examples' must be 1 to 10000"),
        (lambda node: usual_content(node, examples=10_001), "'num-examples' must be 1 to 10000"),
        (lambda node: usual_content(node, examples=1.5), "'num-examples' must be a whole number"),
        (lambda node: usual_content(node, examples=[3]), "'num-examples' must be a whole number"),
        (lambda node: usual_content(node, examples=float("inf")), "'num-examples' must be a whole number"),
        (lambda node: usual_content(node, examples=float("nan")), "'num-examples' must be a whole number"),
        (lambda node: usual_content(node) | {"metrics": MetricRecord({"loss": 1.0})}, "must hold 'num-examples'"),
        (lambda node: usual_content(node) | {"more": ArrayRecord([np.zeros(1)])}, "must hold one ArrayRecord, not 2"),
        (lambda node: usual_content(node) | {"arrays": ArrayRecord([np.empty(0)])}, "the update holds no numbers"),
        (lambda node: usual_content(node) | {"arrays": ArrayRecord([np.zeros(7)])}, "other names, types or shapes"),
    ],
    ids=["clip", "NaN", "complex", "0", "large", "1.5", "list", "inf", "nan", "none", "two", "empty", "shape"],
)
def test_what_cannot_be_summed_is_named_and_left_out(make_grid, bad, reason):
    _, agg, _ = run(make_app(bad_node_3(usual_content, bad)), make_grid)
    (told,) = agg.rounds
    assert reason in told.problems[3]
    assert told.clients == (1, 2, 4, 5)
    assert "8.001" not in told.problems[3]  # the server learns which array, not the value


def test_on_clip_clips_and_l2_scales(make_grid, caplog):
    app = make_app(bad_node_3(usual_content, lambda node: usual_content(node, value=12.0)))
    with caplog.at_level(logging.WARNING, logger="flwr"):
        _, agg, _ = run(app, make_grid, on_clip="clip")
    assert flat(agg.strategy.replies[0].content["arrays"]) == [(4 * 0.5 + 8.0) / 5] * 7
    assert "7 of 7 values of the update were clipped" in caplog.text
    _, agg, _ = run(app, make_grid, on_clip="l2")
    scaled = 8.0 / np.sqrt(7)
    np.testing.assert_allclose(flat(agg.strategy.replies[0].content["arrays"]), (4 * 0.5 + scaled) / 5, atol=2.0**-19)


def test_a_client_refuses_to_train_for_a_server_without_secure_aggregation(make_grid):
    grid = make_grid(make_app(), 3)
    plain = Replies(fraction_evaluate=0.0)
    plain.start(grid, INITIAL, num_rounds=1)
    assert all("needs SecAgg or SecAggWorkflow" in reply.error.reason for reply in plain.replies)


def test_a_client_without_the_mod_is_left_out(make_grid):
    app, bare = make_app(), make_app(mod=None)
    _, agg, _ = run(lambda msg, ctxt: (bare if ctxt.node_id == 3 else app)(msg, ctxt), make_grid)
    assert agg.rounds[0].clients == (1, 2, 4, 5)
    assert "the reply is not from secagg_mod" in agg.rounds[0].problems[3]
    assert given(agg)[1] == mean_of((1, 2, 4, 5))


def test_an_error_of_the_app_is_the_apps(make_grid):
    def train(msg, ctxt):
        if ctxt.node_id == 2:
            raise ValueError("no rows today")
        if ctxt.node_id == 3:
            return Message(Error(99, "out of memory"), reply_to=msg)
        return Message(RecordDict(usual_content(ctxt.node_id)), reply_to=msg)

    _, agg, _ = run(make_app(train), make_grid)
    assert agg.rounds[0].problems == {2: "no rows today", 3: "out of memory"}
    assert agg.rounds[0].clients == (1, 4, 5)


def test_a_client_asks_for_a_least_number_of_others(make_grid):
    careful = make_app(mod=SecAggMod(min_clients=6))
    app = make_app()
    _, agg, _ = run(lambda msg, ctxt: (careful if ctxt.node_id == 1 else app)(msg, ctxt), make_grid)
    assert "a sum of 4 clients, but this client requires 6" in agg.rounds[0].problems[1]
    assert agg.rounds[0].clients == (2, 3, 4, 5)


@pytest.mark.parametrize(
    "name", ["FedMedian", "FedTrimmedAvg", "Krum", "MultiKrum", "Bulyan", "QFedAvg", "FedXgbBagging"]
)
def test_strategies_that_look_at_single_updates_are_refused(name):
    with pytest.raises(TypeError, match=f"{name} looks at single updates"):
        SecAgg(getattr(strategies, name).__new__(getattr(strategies, name)))


def test_server_side_clipping_is_refused_and_client_side_clipping_is_not():
    dp = strategies.DifferentialPrivacyServerSideFixedClipping(FedAvg(), 1.0, 1.0, 3)
    with pytest.raises(TypeError, match="looks at single updates"):
        SecAgg(dp)
    SecAgg(strategies.DifferentialPrivacyClientSideFixedClipping(FedAvg(), 1.0, 1.0, 3))


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"clip": 0.0}, ValueError, "clip"),
        ({"frac_bits": -1}, ValueError, "frac_bits"),
        ({"on_clip": "wrap"}, ValueError, "on_clip"),
        ({"max_weight": 0}, ValueError, "max_weight"),
        ({"corrupt": 1.0}, ValueError, "corrupt"),
        ({"dropout": 0.9}, ValueError, "threshold"),
        ({"min_clients": 1}, ValueError, "min_clients"),
    ],
)
def test_settings_are_checked_at_once(more, error, match):
    with pytest.raises(error, match=match):
        SecAgg(FedAvg(), **more)


def test_the_grid_takes_training_messages_together_and_once(make_grid):
    grid = make_grid(make_app(), 3)

    class Odd(FedAvg):
        def start(self, secure, *args, **more):
            train = [Message(RecordDict({"arrays": INITIAL}), 1, "train") for _ in range(2)]
            other = Message(RecordDict({"arrays": INITIAL}), 1, "evaluate")
            with pytest.raises(TypeError, match="in one send_and_receive"):
                secure.push_messages([train[0]])
            assert secure.push_messages([other]) == ["pushed 1"]
            with pytest.raises(TypeError, match="together with others"):
                secure.send_and_receive([train[0], other])
            with pytest.raises(ValueError, match="two training messages"):
                secure.send_and_receive(train)
            return list(secure.get_node_ids())

    assert SecAgg(Odd()).start(grid, INITIAL) == [1, 2, 3]
    assert grid.seen == []


NO_LISTS = ["", "[", "[" * 100_000, "NaN", "[]", '{"a": 1}', '["a"]', '["a", 3]', '["a", []]', '["a", [["w", "<f8"]]]']
NO_LISTS += [
    '[1, [["w", "<f8", [1]]]]',
    '["a", [[1, "<f8", [1]]]]',
    '["a", [["w", 8, [1]]]]',
    '["a", [["w", "<f8", 1]]]',
]
NO_LISTS += [f'["a", [["w", "{dtype}", [1]]]]' for dtype in ("O", "<f8,<f8", "<f16", "<c8", "(2,3)f4", "f8")]
NO_LISTS += [f'["a", [["w", "<f8", [{length}]]]]' for length in ("-1", "1.0", "0", "4294967296", "true")]


@pytest.mark.parametrize("said", NO_LISTS, ids=range(len(NO_LISTS)))
def test_a_list_of_arrays_that_is_none(said):
    with pytest.raises(bt.FrameError):
        Layout.from_text(said)


# ------------------------------------------------------------------------------------------------------- once only


def one_client(make_grid, tmp_path, stage):
    """Run a round; return node 1's context and file as they were before that stage, and the message."""
    kept = {}
    file = tmp_path / "bluetusk" / "flower" / "run-7-node-1.state"

    def lose(node, at):
        if node == 1:
            kept[at] = copy.deepcopy(grid.contexts[1]), file.read_bytes() if file.exists() else b""
        return False

    grid = make_grid(make_app(), N, lose)
    strategy().start(grid, INITIAL, num_rounds=1)
    assert not file.exists()
    (message,) = (message for node, at, message in grid.asked if (node, at) == (1, stage))
    context, data = kept[stage]
    file.write_bytes(data)
    return context, file, message


@pytest.mark.parametrize("stage", ["start", "masked", "unmask"])
def test_a_node_that_is_set_back_cannot_answer_again(make_grid, tmp_path, stage):
    before, _, message = one_client(make_grid, tmp_path, stage)
    reply = make_app()(message, before)
    assert reply.has_error()
    assert "already" in reply.error.reason


@pytest.mark.parametrize("stage", ["start", "shares", "masked", "unmask"])
def test_the_file_is_of_no_use_without_the_context(make_grid, tmp_path, stage):
    before, file, message = one_client(make_grid, tmp_path, stage)
    assert not any(part.tobytes()[:8] in file.read_bytes() for part in update(1))
    before.state.config_records[KEY]["key"] = bytes(32)
    assert "FrameError" in make_app()(message, before).error.reason


@pytest.mark.parametrize("stage", ["start", "shares", "masked", "unmask"])
def test_a_message_that_does_not_follow_is_refused(make_grid, tmp_path, stage):
    before, file, message = one_client(make_grid, tmp_path, stage)
    fresh = Context(run_id=7, node_id=1, node_config={}, state=RecordDict(), run_config={})  # a node that was restarted
    file.unlink()
    for context in (fresh, before):
        reply = make_app()(copy.deepcopy(message), context)
        assert "does not follow this node's last step" in reply.error.reason


def test_an_update_goes_into_one_session(make_grid, tmp_path):
    """A second sum of the same update with other clients would show the difference."""
    before, _, message = one_client(make_grid, tmp_path, "start")
    app = make_app()
    again = copy.deepcopy(message)
    session = bt.federated.secagg.Session.from_bytes(message.content[KEY]["session"])
    other = bt.federated.secagg.Session(session.plan, session.encoding, session.length, session.clients, session.server)
    again.content[KEY]["session"] = other.to_bytes()
    assert not app(copy.deepcopy(again), before).has_error()  # instead of the first: in another life of this node
    assert "does not follow" in app(message, before).error.reason


def test_the_context_stays_small(make_grid):
    """Flower hands it back when the program has five seconds left: one of 40 MB was lost."""
    sizes = []

    def lose(node, at):
        kept = grid.contexts[node].state.config_records.get(KEY, {})
        sizes.append(sum(len(value) for value in kept.values()))
        return False

    grid = make_grid(make_app(), N, lose)
    strategy().start(grid, INITIAL, num_rounds=1)
    assert max(sizes) == 64


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"step": "dance"}, "unknown step 'dance'"),
        ({"frame": b"x"}, "no field 'step' of type str"),
        ({"step": "train", "encoding": "{}", "max_weight": 1, "weighted_by": "n"}, "FrameError"),
        ({"step": "train", "encoding": "no", "max_weight": 1, "weighted_by": "n"}, "not JSON"),
        ({"step": "train"}, "no field 'encoding'"),
    ],
)
def test_a_server_that_asks_for_nonsense(make_grid, record, reason):
    grid = make_grid(make_app(), 1)
    message = Message(RecordDict({KEY: ConfigRecord(record)}), 1, "train")
    assert reason in make_app()(message, grid.contexts[1]).error.reason


def test_answers_that_are_none_count_as_gone(make_grid):
    app = make_app()

    def odd(msg, ctxt):
        reply = app(msg, ctxt)
        stage = [stage for node, stage, _ in grid.asked if node == ctxt.node_id][-1]
        if stage == "shares" and ctxt.node_id == 2:
            reply.content[KEY] = ConfigRecord({"frame": b"anything"})
        if stage == "shares" and ctxt.node_id == 3:
            del reply.content[KEY]
        return reply

    grid, agg = make_grid(odd, 8), strategy()
    agg.start(grid, INITIAL, num_rounds=1)
    assert agg.rounds[0].clients == (1, 4, 5, 6, 7, 8)
    assert "shares: frame is truncated" in agg.rounds[0].problems[2]
    assert agg.rounds[0].problems[3].startswith("shares:")


def test_a_journal_that_cannot_be_kept_is_a_refusal(make_grid, tmp_path):
    (tmp_path / "file").write_text("")
    broken, app = make_app(mod=SecAggMod(journals=tmp_path / "file")), make_app()
    _, agg, _ = run(lambda msg, ctxt: (broken if ctxt.node_id == 4 else app)(msg, ctxt), make_grid)
    assert agg.rounds[0].problems[4] == "FileExistsError: the journal cannot be kept (File exists)"
    assert agg.rounds[0].clients == (1, 2, 3, 5)


def test_journals_are_where_the_node_says(make_grid, tmp_path):
    grid, agg = make_grid(make_app(), 3), strategy()
    grid.contexts[1].node_config["bluetusk-journals"] = str(tmp_path / "of-node")
    agg.start(grid, INITIAL, num_rounds=1)
    assert [path.name for path in (tmp_path / "of-node").iterdir()] == ["run-7-node-1.journal"]  # no state is left
    assert len((tmp_path / "of-node" / "run-7-node-1.journal").read_text().splitlines()) == 3
    assert sorted(path.name for path in (tmp_path / "bluetusk" / "flower").iterdir()) == [
        "run-7-node-2.journal",
        "run-7-node-3.journal",
    ]
    mod = SecAggMod(journals=tmp_path / "of-mod")
    grid, agg = make_grid(make_app(mod=mod), 3), strategy()
    agg.start(grid, INITIAL, num_rounds=1)
    assert len(list((tmp_path / "of-mod").iterdir())) == 3


def test_without_flower_the_error_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name == "flwr" or name.startswith("flwr.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flwr", None)
    with pytest.raises(ImportError, match=r"pip install 'bluetusk\[flower\]'"):
        SecAggWorkflow()(None, None)
