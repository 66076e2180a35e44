import torch
from torch import nn

from cxr.modeling.averaging import Average


def test_it_is_the_moving_average_with_a_ramp():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(network, 0.9)
    expected = network[0].weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            network[0].weight.add_(1.0)
        network[1].num_batches_tracked += 1
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network[0].weight.detach()
        average.update()
    torch.testing.assert_close(average.network[0].weight, expected)
    assert average.network[1].num_batches_tracked == network[1].num_batches_tracked


def test_without_decay_it_is_the_network_itself():
    network = nn.Linear(2, 2)
    assert Average(network, 0.0).network is network


def test_it_goes_on_from_a_saved_state():
    network = nn.Linear(2, 2)
    first, second = Average(network, 0.9), Average(network, 0.9)
    first.update()
    second.load_state_dict(first.state_dict())
    assert second.updates == 1
