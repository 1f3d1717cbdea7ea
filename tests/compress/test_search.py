"""The search of a strength finds the edge of a condition."""

from pocketvision.compress.search import RateSearch


def test_a_search_finds_the_edge(uneven, draw):
    search = RateSearch(uneven(), draw(16))
    asked = []

    def zeros(graph):
        asked.append(1)
        layers = [node.weight for node in graph.nodes if hasattr(node, "weight")]
        return sum(int((weight == 0).sum()) for weight in layers) / sum(weight.size for weight in layers)

    place = search.weakest(lambda graph: zeros(graph) >= 0.5)
    assert place is not None
    assert len(asked) <= 8
    assert zeros(search.at(place - 1).graph) < 0.5 <= zeros(search.at(place).graph)
    assert search.strongest(lambda graph: zeros(graph) < 0.5) == place - 1
    assert search.strongest(lambda graph: False) is None
    assert search.weakest(lambda graph: False) is None
    assert search.weakest(lambda graph: True) == 0
    assert search.at(place) is search.at(place)
